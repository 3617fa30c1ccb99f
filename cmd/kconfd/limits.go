package main

import (
	"errors"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kconfd/kconfd/internal/limits"
	"github.com/kconfd/kconfd/reload"
)

// rawLimits is [limits] of a resource file: what its templates may take. Sizes
// are numbers of bytes, or as in Kubernetes: 16Mi.
type rawLimits struct {
	Depth      *int   `toml:"depth" yaml:"depth"`
	Time       string `toml:"time" yaml:"time"`
	Elements   *int   `toml:"elements" yaml:"elements"`
	Iterations *int   `toml:"iterations" yaml:"iterations"`
	Value      any    `toml:"value" yaml:"value"`
	Output     any    `toml:"output" yaml:"output"`
	Memory     any    `toml:"memory" yaml:"memory"`
}

const (
	// maxDepthLimit is the largest limit on the depth: what is nested takes memory
	// that Go cannot do without.
	maxDepthLimit = 1000
	// maxLimit is the largest of the others.
	maxLimit = math.MaxInt32
)

// parse gives the limits, with zeros for the defaults.
func (r *rawLimits) parse() (l limits.Limits, err error) {
	if r == nil {
		return l, nil
	}
	if l.Time, err = parseTimeout("time", r.Time); err != nil {
		return l, err
	}
	for key, count := range map[string]struct {
		to   *int
		from *int
		most int
	}{
		limits.Depth:      {&l.Depth, r.Depth, maxDepthLimit},
		limits.Elements:   {&l.Elements, r.Elements, maxLimit},
		limits.Iterations: {&l.Iterations, r.Iterations, maxLimit},
	} {
		if count.from == nil {
			continue
		}
		if *count.to = *count.from; *count.to < 1 || *count.to > count.most {
			return l, fmt.Errorf("%s: want a number from 1 to %d, not %d", key, count.most, *count.to)
		}
	}
	for key, size := range map[string]struct {
		to   *int
		from any
	}{
		limits.Value:  {&l.Value, r.Value},
		limits.Output: {&l.Output, r.Output},
		limits.Memory: {&l.Memory, r.Memory},
	} {
		if *size.to, err = parseSize(size.from); err != nil {
			return l, fmt.Errorf("%s: %w", key, err)
		}
	}
	return l, nil
}

// parseSize reads a number of bytes; nothing is 0.
func parseSize(v any) (int, error) {
	if v == nil {
		return 0, nil
	}
	q, err := resource.ParseQuantity(fmt.Sprint(v))
	if err != nil || q.Sign() <= 0 || q.CmpInt64(maxLimit) > 0 || q.Value() < 1 {
		return 0, fmt.Errorf(`want a size up to 2Gi, such as "16Mi", not %v`, v)
	}
	return int(q.Value()), nil
}

// countLimits counts a render of the group that a limit has ended. An error of
// a template that did not run again has been counted.
func (e *engine) countLimits(g *group, err error) {
	if over := limitOf(err); over != nil && over != g.over {
		e.meters.limit(over.Limit)
		g.over = over
	}
}

// limitOf is the limit that err says was exceeded; nil when none was.
func limitOf(err error) *limits.Error {
	var over *limits.Error
	if errors.As(err, &over) {
		return over
	}
	return nil
}

// passing says whether a render failed by a limit on what is measured, time or memory:
// on a machine with less to do the same render may not.
func passing(err error) bool {
	over := limitOf(err)
	return over != nil && (over.Limit == limits.Time || over.Limit == limits.Memory)
}

// slowBackoff is how long to wait before such a render is tried again. Each try may hold
// up the other groups for as long as the limit is.
func slowBackoff() reload.Backoff {
	return reload.Backoff{Initial: 2 * time.Second, Max: 10 * time.Minute}
}
