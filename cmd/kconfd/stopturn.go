package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kconfd/kconfd/gate"
	"github.com/kconfd/kconfd/reload"
)

const (
	defaultStopTurnTimeout = time.Minute

	// stopReach is for how long the API server may not answer before the command is stopped
	// without a turn.
	stopReach = 3 * time.Second

	// releaseTimeout is how long the release of a turn may take. Without it, the others wait for the
	// lease time.
	releaseTimeout = 2 * time.Second
)

// A stopTurnConfig is stop_lease and its settings.
type stopTurnConfig struct {
	lease     string
	namespace string // empty: kconfd's own
	timeout   time.Duration
}

// parseStopTurn gives nil when there is no stop_lease.
func (r *rawProcess) parseStopTurn() (*stopTurnConfig, error) {
	if r.StopLease == "" {
		switch {
		case r.StopLeaseTimeout != "":
			return nil, errors.New("stop_lease_timeout without stop_lease")
		case r.StopLeaseNamespace != "":
			return nil, errors.New("stop_lease_namespace without stop_lease")
		}
		return nil, nil
	}
	if len(validation.IsDNS1123Subdomain(r.StopLease)) > 0 {
		return nil, fmt.Errorf("stop_lease: want the name of a Lease, not %q", r.StopLease)
	}
	timeout, err := parseTimeout("stop_lease_timeout", r.StopLeaseTimeout)
	return &stopTurnConfig{r.StopLease, r.StopLeaseNamespace, cmp.Or(timeout, defaultStopTurnTimeout)}, err
}

// shared is that a group's rolling has the same Lease: a restart in its turn would wait for itself.
func (c *stopTurnConfig) shared(group string) error {
	return fmt.Errorf("stop_lease: %q is the Lease of rolling in %s: want another one", c.lease, group)
}

// A stopTurn is this replica's way to its turn to stop.
type stopTurn struct {
	gate    *gate.Gate
	lease   string // namespace and name
	timeout time.Duration
	log     *slog.Logger
}

// stopTurn is the one that the configuration asks for: the one of before, if that has the same Lease; nil
// when there is none.
func (e *engine) stopTurn(c *processConfig, before *stopTurn) (*stopTurn, error) {
	if c.turn == nil || e.flags.noop {
		return nil, nil
	}
	if len(e.flags.manifests) > 0 {
		e.log.Warn("stopping without a turn: there is no Lease in -manifests", "lease", c.turn.lease)
		return nil, nil
	}
	client, own, member, err := e.gateClient()
	if err != nil {
		return nil, err
	}
	namespace := cmp.Or(c.turn.namespace, own)
	for _, g := range e.groups {
		if r := g.rolling; r != nil && r.lease == c.turn.lease && cmp.Or(r.namespace, own) == namespace {
			return nil, c.turn.shared(g.name)
		}
	}
	turn := &stopTurn{lease: namespace + "/" + c.turn.lease, timeout: c.turn.timeout, log: e.log}
	if before != nil && before.lease == turn.lease {
		turn.gate = before.gate
		return turn, nil
	}
	turn.gate = gate.New(client, gate.Options{Namespace: namespace, Name: c.turn.lease, Identity: member})
	return turn, nil
}

// Acquire implements [reload.Turn]. Without a turn there is one warning.
func (t *stopTurn) Acquire(ctx context.Context) (release func()) {
	begin := time.Now()
	limited, cancel := context.WithTimeoutCause(ctx, earlier(t.timeout), errTurnTimeout)
	defer cancel()
	pass, err := t.gate.EnterReachable(limited, stopReach, func(busy error) {
		t.log.Info("waiting for turn", "lease", t.lease, "for", busy.Error())
	})
	after := time.Since(begin).Round(time.Millisecond).String()
	switch {
	case err == nil:
		t.log.Info("turn acquired", "lease", t.lease, "after", after)
		return func() { t.release(pass) }
	case ctx.Err() == nil:
		t.log.Warn("stopping without a turn", "lease", t.lease, "after", after, "err", err)
	}
	return nil
}

var errTurnTimeout = errors.New("the time for it has passed")

// earlier is the duration, or up to a quarter less, at random: several that wait for one that hangs do
// not stop together.
func earlier(d time.Duration) time.Duration { return d - rand.N(d/4+1) }

func (t *stopTurn) release(pass *gate.Pass) {
	lost := !pass.Held()
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	err := pass.Leave(ctx)
	switch {
	case lost:
		t.log.Warn("turn lost", "lease", t.lease, "err", err)
	case err != nil:
		t.log.Warn("turn not released, the others wait for the lease time", "lease", t.lease, "err", err)
	default:
		t.log.Info("turn released", "lease", t.lease)
	}
}

// waits is what the command's stop waits for.
func (t *stopTurn) waits() string {
	if t == nil {
		return ""
	}
	if err := t.gate.Status().Waits(); err != nil {
		return err.Error()
	}
	return ""
}

// asTurn is nil for a nil turn.
func (t *stopTurn) asTurn() reload.Turn {
	if t == nil {
		return nil
	}
	return t
}
