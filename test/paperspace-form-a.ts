// Made of examples/paperspace/form-a.openapi.yaml by openapi-typescript 7, which needs TypeScript 5 and so a folder of its
// own: `npm install openapi-typescript@7 typescript@5`, then `npx openapi-typescript <that file> -o <this file>`.

export interface paths {
  '/container-registries': {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    get: operations['listContainerRegistries'];
    put?: never;
    post: operations['createContainerRegistry'];
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/container-registries/{id}': {
    parameters: {
      query?: never;
      header?: never;
      path: {
        id: string;
      };
      cookie?: never;
    };
    get: operations['getContainerRegistry'];
    put: operations['updateContainerRegistry'];
    post?: never;
    delete: operations['deleteContainerRegistry'];
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
  '/container-registries/{id}/test-connection': {
    parameters: {
      query?: never;
      header?: never;
      path: {
        id: string;
      };
      cookie?: never;
    };
    get: operations['testContainerRegistryConnection'];
    put?: never;
    post?: never;
    delete?: never;
    options?: never;
    head?: never;
    patch?: never;
    trace?: never;
  };
}
export type webhooks = Record<string, never>;
export interface components {
  schemas: {
    ContainerRegistry: {
      id?: string;
      name?: string;
      url?: string;
      username?: string;
      teamId?: string;
      /** Format: date-time */
      dtCreated?: string;
    };
    ContainerRegistryCreate: {
      name: string;
      url: string;
      username: string;
      password: string;
    };
    Refusal: {
      code: string;
      message: string;
      issues?: {
        message?: string;
      }[];
    };
  };
  responses: {
    /** @description One registry, without its password. */
    ContainerRegistry: {
      headers: {
        [name: string]: unknown;
      };
      content: {
        'application/json': components['schemas']['ContainerRegistry'];
      };
    };
    /** @description What was refused and why. The original describes none. */
    Refusal: {
      headers: {
        [name: string]: unknown;
      };
      content: {
        'application/json': components['schemas']['Refusal'];
      };
    };
  };
  parameters: never;
  requestBodies: {
    ContainerRegistryCreate: {
      content: {
        'application/json': components['schemas']['ContainerRegistryCreate'];
      };
    };
  };
  headers: never;
  pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
  listContainerRegistries: {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description All of the team's, newest first. */
      200: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/json': components['schemas']['ContainerRegistry'][];
        };
      };
    };
  };
  createContainerRegistry: {
    parameters: {
      query?: never;
      header?: never;
      path?: never;
      cookie?: never;
    };
    requestBody: components['requestBodies']['ContainerRegistryCreate'];
    responses: {
      201: components['responses']['ContainerRegistry'];
      default: components['responses']['Refusal'];
    };
  };
  getContainerRegistry: {
    parameters: {
      query?: never;
      header?: never;
      path: {
        id: string;
      };
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      200: components['responses']['ContainerRegistry'];
      default: components['responses']['Refusal'];
    };
  };
  updateContainerRegistry: {
    parameters: {
      query?: never;
      header?: never;
      path: {
        id: string;
      };
      cookie?: never;
    };
    requestBody: components['requestBodies']['ContainerRegistryCreate'];
    responses: {
      200: components['responses']['ContainerRegistry'];
      default: components['responses']['Refusal'];
    };
  };
  deleteContainerRegistry: {
    parameters: {
      query?: never;
      header?: never;
      path: {
        id: string;
      };
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description It is gone. */
      204: {
        headers: {
          [name: string]: unknown;
        };
        content?: never;
      };
      default: components['responses']['Refusal'];
    };
  };
  testContainerRegistryConnection: {
    parameters: {
      query?: never;
      header?: never;
      path: {
        id: string;
      };
      cookie?: never;
    };
    requestBody?: never;
    responses: {
      /** @description How the registry answered just now. One that refuses is no error of this request. */
      200: {
        headers: {
          [name: string]: unknown;
        };
        content: {
          'application/json': {
            success?: boolean;
            message?: string;
          };
        };
      };
      default: components['responses']['Refusal'];
    };
  };
}
