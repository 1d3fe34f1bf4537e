import { Type } from 'typebox';
import { listOf } from './page.ts';
import { Id, named, Time } from './values.ts';

const fields = {
  id: Id,
  name: Type.String({ description: 'The user name of docker login.', examples: ['robot$project-019d6a3e'] }),
  registryId: Id,
  createdAt: Time,
};

export const Robot = named('Robot', fields, 'What pushes and pulls in one managed registry, and does nothing else.');

export const RobotWithSecret = named(
  'RobotWithSecret',
  { ...fields, secret: Type.String({ description: 'Shown once, here.', examples: ['ldg_robot_…'] }) },
  'A robot with its secret, which is not kept and cannot be shown again.',
);

export const RobotList = listOf(Robot);
