package main

import (
	"context"

	pkg "github.com/selectel/craas-go/pkg"
	"github.com/selectel/craas-go/pkg/svc"
	clientv1 "github.com/selectel/craas-go/pkg/v1/client"
	"github.com/selectel/craas-go/pkg/v1/gc"
	"github.com/selectel/craas-go/pkg/v1/registry"
	"github.com/selectel/craas-go/pkg/v1/repository"
	tokenv1 "github.com/selectel/craas-go/pkg/v1/token"
	clientv2 "github.com/selectel/craas-go/pkg/v2/client"
	tokenv2 "github.com/selectel/craas-go/pkg/v2/token"
)

type call func(ctx context.Context, args arguments) (any, *svc.ResponseResult, error)

func v1() *clientv1.ServiceClient {
	return must(clientv1.NewCRaaSClientV1(key(), endpoint("v1")))
}

func v2() *clientv2.ServiceClient {
	return must(clientv2.NewCRaaSClientV2(key(), endpoint("v2")))
}

// calls has every function that the client exports and that asks a server, and every way to make a client.
var calls = map[string]call{
	"registry.Create": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return registry.Create(ctx, v1(), arg[string](a, 0))
	},
	"registry.List": func(ctx context.Context, _ arguments) (any, *svc.ResponseResult, error) {
		return registry.List(ctx, v1())
	},
	"registry.Get": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return registry.Get(ctx, v1(), arg[string](a, 0))
	},
	"registry.Delete": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return none(registry.Delete(ctx, v1(), arg[string](a, 0)))
	},

	"repository.ListRepositories": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return repository.ListRepositories(ctx, v1(), arg[string](a, 0))
	},
	"repository.GetRepository": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return repository.GetRepository(ctx, v1(), arg[string](a, 0), arg[string](a, 1))
	},
	"repository.DeleteRepository": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return none(repository.DeleteRepository(ctx, v1(), arg[string](a, 0), arg[string](a, 1)))
	},
	"repository.ListImages": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return repository.ListImages(ctx, v1(), arg[string](a, 0), arg[string](a, 1))
	},
	"repository.ListTags": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return repository.ListTags(ctx, v1(), arg[string](a, 0), arg[string](a, 1))
	},
	"repository.ListImageLayers": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return repository.ListImageLayers(ctx, v1(), arg[string](a, 0), arg[string](a, 1), arg[string](a, 2))
	},
	"repository.DeleteImageManifest": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return none(repository.DeleteImageManifest(ctx, v1(), arg[string](a, 0), arg[string](a, 1), arg[string](a, 2)))
	},

	"gc.StartGarbageCollection": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return none(gc.StartGarbageCollection(ctx, v1(), arg[string](a, 0), arg[*gc.StartGCOpts](a, 1)))
	},
	"gc.GetGarbageSize": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return gc.GetGarbageSize(ctx, v1(), arg[string](a, 0))
	},

	"token.Create": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return tokenv1.Create(ctx, v1(), arg[*tokenv1.CreateOpts](a, 0))
	},
	"token.Get": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return tokenv1.Get(ctx, v1(), arg[string](a, 0))
	},
	"token.Refresh": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return tokenv1.Refresh(ctx, v1(), arg[string](a, 0))
	},
	"token.Revoke": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return none(tokenv1.Revoke(ctx, v1(), arg[string](a, 0)))
	},

	"tokenv2.Create": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return tokenv2.Create(ctx, v2(), arg[*tokenv2.TokenV2](a, 0), arg[*bool](a, 1))
	},
	"tokenv2.List": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return tokenv2.List(ctx, v2(), arg[tokenv2.Opts](a, 0))
	},
	"tokenv2.GetByID": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return tokenv2.GetByID(ctx, v2(), arg[string](a, 0))
	},
	"tokenv2.Patch": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return tokenv2.Patch(
			ctx, v2(), arg[string](a, 0), arg[string](a, 1), arg[tokenv2.Scope](a, 2), arg[tokenv2.Expiration](a, 3),
		)
	},
	"tokenv2.Refresh": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return tokenv2.Refresh(ctx, v2(), arg[string](a, 0), arg[tokenv2.Expiration](a, 1))
	},
	"tokenv2.Regenerate": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return tokenv2.Regenerate(ctx, v2(), arg[string](a, 0), arg[tokenv2.Expiration](a, 1))
	},
	"tokenv2.Revoke": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return none(tokenv2.Revoke(ctx, v2(), arg[string](a, 0)))
	},
	"tokenv2.Delete": func(ctx context.Context, a arguments) (any, *svc.ResponseResult, error) {
		return none(tokenv2.Delete(ctx, v2(), arg[string](a, 0)))
	},

	// The other ways to make a client, each tried with a list.
	"client.NewCRaaSClientV1WithCustomHTTP": func(ctx context.Context, _ arguments) (any, *svc.ResponseResult, error) {
		return registry.List(ctx, must(clientv1.NewCRaaSClientV1WithCustomHTTP(custom(), key(), endpoint("v1"))))
	},
	"client.NewCRaaSClientV2WithCustomHTTP": func(ctx context.Context, _ arguments) (any, *svc.ResponseResult, error) {
		client := must(clientv2.NewCRaaSClientV2WithCustomHTTP(custom(), key(), endpoint("v2")))
		return tokenv2.List(ctx, client, tokenv2.Opts{})
	},
	"pkg.NewCRaaSClientV1": func(ctx context.Context, _ arguments) (any, *svc.ResponseResult, error) {
		return registry.List(ctx, pkg.NewCRaaSClientV1(key(), endpoint("v1")))
	},
	"pkg.NewCRaaSClientV1WithCustomHTTP": func(ctx context.Context, _ arguments) (any, *svc.ResponseResult, error) {
		return registry.List(ctx, pkg.NewCRaaSClientV1WithCustomHTTP(custom(), key(), endpoint("v1")))
	},
}
