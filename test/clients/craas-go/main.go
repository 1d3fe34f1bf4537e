// Calls one function of Selectel's own Go client and prints what the client made of the answer, as JSON. The tests that
// say what it should be are in ../craas-go.test.ts.
//
//	craas-go <package.Function> [argument…]    the arguments as JSON
//	craas-go                                   the functions, one a line
//
// CRAAS_URL is the API without its version, such as http://127.0.0.1:8080/api; CRAAS_KEY is the API key.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"

	"github.com/selectel/craas-go/pkg/svc"
)

// answer is one call as the caller of the client sees it.
type answer struct {
	Value  any    `json:"value"`
	Status int    `json:"status"`
	Error  string `json:"error"`
	// Message is the server's own sentence, where the client found it.
	Message string `json:"message"`
}

type arguments []json.RawMessage

// arg is an argument, or its zero value where it was left out.
func arg[T any](args arguments, i int) (value T) {
	if i >= len(args) {
		return value
	}
	if err := json.Unmarshal(args[i], &value); err != nil {
		fail(fmt.Errorf("argument %d: %w", i, err))
	}
	return value
}

func main() {
	if len(os.Args) < 2 {
		for _, name := range names() {
			fmt.Println(name)
		}
		return
	}
	call, ok := calls[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("there is no function %s", os.Args[1]))
	}
	args := make(arguments, 0, len(os.Args))
	for _, text := range os.Args[2:] {
		args = append(args, json.RawMessage(text))
	}
	value, result, err := call(context.Background(), args)
	if err := json.NewEncoder(os.Stdout).Encode(toAnswer(value, result, err)); err != nil {
		fail(err)
	}
}

func names() []string {
	all := make([]string, 0, len(calls))
	for name := range calls {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// toAnswer looks for the error in both places: one function of the client returns it in the result only.
func toAnswer(value any, result *svc.ResponseResult, err error) answer {
	found := answer{Value: value}
	if err == nil && result != nil {
		err = result.Err
	}
	if err != nil {
		found.Error = err.Error()
	}
	if result == nil {
		return found
	}
	found.Status = result.StatusCode
	if result.ErrGeneric != nil {
		found.Message = result.ErrGeneric.Error
	}
	if result.ErrNotFound != nil {
		found.Message = result.ErrNotFound.Error.Message
	}
	return found
}

// none is for the functions that answer nothing but whether they succeeded.
func none(result *svc.ResponseResult, err error) (any, *svc.ResponseResult, error) {
	return nil, result, err
}

func endpoint(version string) string {
	return os.Getenv("CRAAS_URL") + "/" + version
}

func key() string {
	return os.Getenv("CRAAS_KEY")
}

// custom is a client of the caller's, as some functions take one.
func custom() *http.Client {
	return &http.Client{Transport: svc.NewHTTPTransport()}
}

func must[T any](value T, err error) T {
	if err != nil {
		fail(err)
	}
	return value
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "craas-go:", err)
	os.Exit(2)
}
