package main

import "context"

// stepsKey is for what a test does at the steps of a change: staged, checked,
// prepared, committed, acting, acted, verified, undoing, undone.
type stepsKey struct{}

// stepsOf is what ctx has to be called at each step. Only tests have something.
func stepsOf(ctx context.Context) func(name string) {
	if step, ok := ctx.Value(stepsKey{}).(func(string)); ok {
		return step
	}
	return func(string) {}
}
