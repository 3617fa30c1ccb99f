package gate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

func TestClaim(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T, *place){
		"one of many wins":                   testClaimCrowd,
		"a holder wins again":                testClaimHolder,
		"no holder is who came without name": testClaimNameless,
		"the answer is lost":                 testClaimAnswerLost,
		"what is denied":                     testClaimDenied,
		"what is no claim":                   testNoClaim,
		"no namespace":                       testClaimNoNamespace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newPlace(t))
		})
	}
}

func (p *place) claim(config *rest.Config, holder string) (Claimed, error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	return Claim(ctx, p.client(config), p.namespace, "web", holder)
}

func testClaimCrowd(t *testing.T, p *place) {
	const callers = 40
	var wins atomic.Int32
	firsts := make([]string, callers)
	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() { // until it has its answer
			holder := ""
			if i%2 == 0 {
				holder = fmt.Sprint("web-", i)
			}
			c, err := p.claim(p.config, holder)
			if err != nil {
				t.Error(err)
			}
			if c.Won {
				wins.Add(1)
			}
			firsts[i] = c.First
		})
	}
	running.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d won, want 1", wins.Load())
	}
	if len(slices.Compact(firsts)) != 1 || firsts[0] == "" {
		t.Errorf("they do not agree on who was first: %q", firsts)
	}
}

func testClaimHolder(t *testing.T, p *place) {
	for range 3 {
		c, err := p.claim(p.config, "web-0")
		if err != nil || !c.Won || c.First != "web-0" || time.Since(c.Since) > patience {
			t.Fatalf("got %+v, %v", c, err)
		}
	}
	for _, other := range []string{"web-1", "web", ""} {
		c, err := p.claim(p.config, other)
		if err != nil || c.Won || c.First != "web-0" {
			t.Errorf("%q: got %+v, %v", other, c, err)
		}
	}
	lease := p.lease()
	if lease.Spec.LeaseDurationSeconds != nil || lease.Spec.RenewTime != nil || lease.Labels["kconfd.io/claim"] != "true" {
		t.Errorf("the Lease looks as if it could expire: %+v", lease)
	}
}

func testClaimNameless(t *testing.T, p *place) {
	c, err := p.claim(p.config, "")
	if err != nil || !c.Won {
		t.Fatalf("got %+v, %v", c, err)
	}
	host, _, _ := strings.Cut(c.First, "_")
	for _, other := range []string{"", host} {
		if c, err := p.claim(p.config, other); err != nil || c.Won {
			t.Errorf("%q: got %+v, %v", other, c, err)
		}
	}
}

// A loser loses the answers to requests that were carried out.
type loser struct {
	http.RoundTripper
	method string
	left   atomic.Int32
}

func (l *loser) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == l.method && l.left.Add(-1) >= 0 {
		response.Body.Close()
		return nil, errors.New("the answer was lost")
	}
	return response, err
}

func losing(config *rest.Config, method string, n int32) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		l := &loser{RoundTripper: rt, method: method}
		l.left.Store(n)
		return l
	})
	return config
}

func testClaimAnswerLost(t *testing.T, p *place) {
	c, err := p.claim(losing(p.config, http.MethodPost, 1), "")
	if err != nil || !c.Won {
		t.Fatalf("who made the claim is told: %+v, %v", c, err)
	}
	if c, err = p.claim(losing(p.config, http.MethodGet, 3), ""); err != nil || c.Won {
		t.Errorf("who came later is told: %+v, %v", c, err)
	}
}

func testClaimDenied(t *testing.T, p *place) {
	alice := p.asUser("alice")
	for _, verb := range []string{"get", "create"} {
		p.grant("alice", without(ClaimRules("web"), verb))
		_, err := p.claim(alice, "web-0")
		if denied, ok := asError[*DeniedError](err); !ok || denied.Verb != verb {
			t.Errorf("got %v, want that %s is denied", err, verb)
		}
	}
	p.grant("alice", ClaimRules("web"))
	if c, err := p.claim(alice, "web-0"); err != nil || !c.Won {
		t.Errorf("with all rules: %+v, %v", c, err)
	}
}

func testNoClaim(t *testing.T, p *place) {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: new("web-0")}}
	if _, err := p.admin.CoordinationV1().Leases(p.namespace).Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if c, err := p.claim(p.config, "web-0"); !errors.Is(err, ErrNoClaim) || c.Won {
		t.Errorf("got %+v, %v", c, err)
	}
}

func testClaimNoNamespace(t *testing.T, p *place) {
	_, err := Claim(t.Context(), p.client(p.config), "nowhere", "web", "")
	if err == nil || !strings.Contains(err.Error(), `namespaces "nowhere" not found`) {
		t.Errorf("got %v", err)
	}
}
