package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/kconfd/kconfd/gate"
	"github.com/kconfd/kconfd/reload"
)

// rawRolling is rolling of [reload]: the replicas of a service act one after the
// other.
type rawRolling struct {
	Lease               string `toml:"lease" yaml:"lease"`
	Namespace           string `toml:"namespace" yaml:"namespace"`
	LeaseTime           string `toml:"lease_time" yaml:"lease_time"`
	MaxUnavailable      int    `toml:"max_unavailable" yaml:"max_unavailable"`
	Order               string `toml:"order" yaml:"order"`
	PreconditionCmd     any    `toml:"precondition_cmd" yaml:"precondition_cmd"`
	PreconditionTimeout string `toml:"precondition_timeout" yaml:"precondition_timeout"`
}

// A rollingConfig is rolling, read and found good.
type rollingConfig struct {
	lease        string
	namespace    string // empty: kconfd's own
	leaseTime    time.Duration
	slots        int
	ordered      bool
	precondition *reload.Command // nil: the turn is enough
	timeout      time.Duration   // of the precondition
}

func (r *rawRolling) parse() (*rollingConfig, error) {
	c := &rollingConfig{lease: r.Lease, namespace: r.Namespace, slots: cmp.Or(r.MaxUnavailable, 1)}
	var err error
	switch {
	case len(validation.IsDNS1123Subdomain(r.Lease)) > 0:
		return nil, fmt.Errorf("lease: want the name of a Lease, not %q", r.Lease)
	case c.slots < 1:
		return nil, errors.New("max_unavailable: want a positive number")
	case c.slots > gate.MaxSlots:
		return nil, fmt.Errorf("max_unavailable: want a number from 1 to %d, not %d", gate.MaxSlots, c.slots)
	case r.Order != "" && r.Order != "ordinal":
		return nil, fmt.Errorf("order: want ordinal, not %q", r.Order)
	}
	c.ordered = r.Order == "ordinal"
	if r.LeaseTime != "" {
		if c.leaseTime, err = parseDuration("lease_time", r.LeaseTime, gate.MaxDuration); err != nil {
			return nil, err
		}
	}
	if c.precondition, err = parseCommand("precondition_cmd", r.PreconditionCmd, "", ""); err != nil {
		return nil, err
	}
	if c.precondition == nil && r.PreconditionTimeout != "" {
		return nil, errors.New("precondition_timeout without precondition_cmd")
	}
	c.timeout, err = parseTimeout("precondition_timeout", r.PreconditionTimeout)
	return c, err
}

const defaultPreconditionTimeout = time.Minute

// A turnstile is a group's way through a gate. It keeps its place when one job
// is followed by the next, and the pass of a job that has been superseded: what
// that has begun is not over.
type turnstile struct {
	gate *gate.Gate
	key  string // which gate, and as whom

	mu      sync.Mutex
	entered chan entered       // of the entering that is under way; nil when none is
	leave   context.CancelFunc // of that
	pass    *gate.Pass
	stopped bool // the gate, by this group; it may have been by an earlier kconfd
}

type entered struct {
	pass *gate.Pass
	err  error
}

// enter waits for the pass. When ctx ends, the place is kept.
func (t *turnstile) enter(ctx context.Context) (*gate.Pass, error) {
	t.mu.Lock()
	if t.pass != nil && t.pass.Held() {
		defer t.mu.Unlock()
		return t.pass, nil
	}
	if t.entered == nil {
		entering, cancel := context.WithCancel(context.Background())
		done := make(chan entered, 1)
		lost := t.pass // of a job that has been superseded
		t.entered, t.leave, t.pass = done, cancel, nil
		go func() { // until there is a pass, or somebody cancels
			if lost != nil {
				lost.Abandon()
			}
			pass, err := t.gate.Enter(entering)
			done <- entered{pass, err}
		}()
	}
	done := t.entered
	t.mu.Unlock()
	select {
	case e := <-done:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.entered, t.pass = nil, e.pass
		return e.pass, e.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// forget gives up the place and the pass: nothing has been done.
func (t *turnstile) forget(ctx context.Context) error {
	if pass := t.end(); pass != nil {
		return pass.Withdraw(ctx)
	}
	return nil
}

// succeed gives up the place and the pass, and lets those go on whom this group
// had stopped: all is well.
func (t *turnstile) succeed(ctx context.Context) error {
	pass := t.end()
	t.mu.Lock()
	stopped := t.stopped
	t.stopped = false
	t.mu.Unlock()
	switch {
	case pass != nil:
		return pass.Leave(ctx)
	case stopped:
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		_ = t.gate.Resume(ctx) // it goes on, and nobody waits for it
	}
	return nil
}

// end ends the waiting, and hands out the pass.
func (t *turnstile) end() *gate.Pass {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entered != nil {
		t.leave()
		if e := <-t.entered; e.pass != nil {
			t.pass = e.pass
		}
		t.entered = nil
	}
	pass := t.pass
	t.pass = nil
	return pass
}

// giveUp is for a group that is gone, and what it stopped with it.
func (t *turnstile) giveUp() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = t.succeed(ctx) // best effort: else the others wait for the lease time
	t.gate.Close()
}

// waits is what the group waits for.
func (t *turnstile) waits() string {
	if err := t.gate.Status().Waits(); err != nil {
		return err.Error()
	}
	return ""
}

// fail gives the pass back and stops the others.
func (t *turnstile) fail(ctx context.Context, reason string) error {
	t.mu.Lock()
	pass := t.pass
	t.pass = nil
	t.stopped = t.stopped || pass != nil
	t.mu.Unlock()
	if pass == nil {
		return nil
	}
	return pass.Fail(ctx, reason)
}

// newTurnstile is the way of a group through its gate. Each group is a member of
// its own: what one has stopped, another that goes well must not open. So where
// groups of this kconfd share a Lease, their names tell them apart.
func (e *engine) newTurnstile(g *group, shared bool) (*turnstile, error) {
	c := g.rolling
	client, namespace, member, err := e.gateClient()
	if err != nil {
		return nil, err
	}
	options := gate.Options{
		Namespace: cmp.Or(c.namespace, namespace), Name: c.lease, Identity: member, Duration: c.leaseTime,
		Slots: c.slots, Ordered: c.ordered, Ordinal: ordinal(member), Log: e.log,
	}
	if shared {
		options.Identity += "/" + filepath.Base(g.name)
	}
	return &turnstile{
		gate: gate.New(client, options), stopped: true,
		key: strings.Join([]string{options.Namespace, options.Name, options.Identity}, " "),
	}, nil
}

// gateClient returns a client for Leases, kconfd's own namespace, and the identity of this replica.
func (e *engine) gateClient() (client rest.Interface, namespace, member string, err error) {
	config, namespace, err := e.flags.cluster.Config()
	if err != nil {
		return nil, "", "", err
	}
	if client, err = gate.NewClient(config); err != nil {
		return nil, "", "", err
	}
	member, err = identity()
	return client, namespace, member, err
}

// follow is the turnstile of a group that comes after another: the old one, if
// something is under way there.
func (t *turnstile) follow(old *turnstile) *turnstile {
	if old == nil || t == nil || old.key != t.key {
		go old.giveUp() // it ends by itself
		return t
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	if old.entered == nil && old.pass == nil {
		old.gate.Close()
		return t
	}
	t.gate.Close()
	return old
}

// identity is the name of this pod, or of this machine.
func identity() (string, error) {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name, nil
	}
	return os.Hostname()
}

// ordinal is the number at the end of a name, 0 when there is none.
func ordinal(name string) int {
	n, _ := strconv.Atoi(name[strings.LastIndex(name, "-")+1:])
	return n
}

// openGate gives the group its way through its gate, if it has one.
func (e *engine) openGate(g *group, shared bool) (err error) {
	if g.rolling == nil || !e.flags.daemon || e.flags.noop || e.flags.syncOnly {
		return nil
	}
	if len(e.flags.manifests) > 0 {
		e.log.Warn("acting without the others: there is no Lease in -manifests", "group", g.name, "lease", g.rolling.lease)
		return nil
	}
	if g.turnstile, err = e.newTurnstile(g, shared); err != nil {
		return fmt.Errorf("reading %s: [reload]: rolling: %w", g.name, err)
	}
	return nil
}

// shareLease says whether several of the groups have the Lease of one.
func shareLease(configs []groupConfig, one groupConfig) bool {
	n := 0
	for _, c := range configs {
		if c.rolling != nil && one.rolling != nil && c.rolling.lease == one.rolling.lease && c.rolling.namespace == one.rolling.namespace {
			n++
		}
	}
	return n > 1
}

// closeGates ends all gates. A pass that is held is not given back: what was
// begun is not known to be well.
func (e *engine) closeGates() {
	for _, g := range e.groups {
		if g.turnstile != nil {
			g.turnstile.gate.Close()
		}
	}
}

// takeTurn waits until it is this replica's turn to act, and the precondition
// holds.
func (e *engine) takeTurn(ctx context.Context, j *job) error {
	if j.turnstile == nil || j.ungated {
		return nil
	}
	if due := j.group.earliest(j.last); time.Until(due) > 0 {
		return &throttledError{due} // until when others may have their turn
	}
	e.tellPhase(phase{job: j, waiting: true, queued: true})
	defer e.phase(j, false)
	pass, err := j.turnstile.enter(ctx)
	if err != nil {
		return err
	}
	if err := e.awaitPrecondition(ctx, j); err != nil {
		if errors.Is(err, errSuperseded) {
			return err
		}
		return errors.Join(err, j.turnstile.forget(e.briefly(j)))
	}
	if !pass.Held() {
		return errors.New("the turn was lost before anything was done")
	}
	e.step("turn")
	return nil
}

func (e *engine) awaitPrecondition(ctx context.Context, j *job) error {
	c := j.group.rolling
	if c.precondition == nil {
		return nil
	}
	limit := cmp.Or(c.timeout, defaultPreconditionTimeout)
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	command, err := c.precondition.Expand(j.group.groupData(nil), j.group.commandFuncs(nil))
	if err != nil {
		return err
	}
	command.Hide = e.redactor.Redact
	command.Ran = func(text string, err error) { e.logOutput(err, text, "group", j.group.name, "of", "precondition") }
	err = command.Await(limited)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("the precondition does not hold after %s: %w", limit, err)
}

// endTurn gives the turn back after what was to be done is done, or has failed.
func (e *engine) endTurn(j *job, err error) {
	t := j.turnstile
	if t == nil {
		return
	}
	var throttled *throttledError
	switch {
	case err == nil && j.files == nil:
		err = t.forget(e.briefly(j)) // the process has been told, and of what the data does not ask for
	case err == nil:
		err = t.succeed(e.briefly(j))
	case errors.As(err, &throttled):
		return // nothing has been done, or what was begun goes on then
	case errors.Is(err, errSuperseded), j.life.Err() != nil && j.wrote:
		return // it goes on, with newer content or after a restart
	case j.life.Err() != nil, !j.wrote && !j.owed && !j.line.begun:
		err = t.forget(e.briefly(j)) // nothing has been done
	default:
		err = t.fail(e.briefly(j), e.redactor.RedactOwn(err.Error()))
	}
	if err != nil {
		e.log.Warn("the turn could not be given back yet", "group", j.group.name, "err", err)
	}
}

// briefly is how long a job waits for the API server to take note.
func (e *engine) briefly(j *job) context.Context {
	limit := 5 * time.Second
	if j.life.Err() != nil {
		limit = 50 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.life), limit)
	context.AfterFunc(ctx, cancel)
	return ctx
}
