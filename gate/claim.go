package gate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const (
	labelClaim = "kconfd.io/claim"

	// claimTimeout is that of one request of a claim.
	claimTimeout = 5 * time.Second
)

// ErrNoClaim is a Lease that is there, and is not a claim.
var ErrNoClaim = errors.New("the Lease is not a claim")

// A Claimed is how a claim came out.
type Claimed struct {
	Won   bool
	First string    // who was first: the holder, or for want of one host and token
	Since time.Time // by the server's clock
}

// Claim makes the caller the first, or says who was: of all callers ever, one
// wins. That is decided by the API server, which creates a Lease of that name or
// has one, and it lasts until the Lease is deleted.
//
// Without a holder, each call is a caller of its own: a second one never wins,
// wherever it comes from. A holder wins again when he won before.
//
// An error means that nothing is known: ctx has ended, with what was in the way,
// or the server refuses. The claim may have been made then. A holder learns of
// that when he asks again; without a holder, it is lost.
func Claim(ctx context.Context, client rest.Interface, namespace, name, holder string) (Claimed, error) {
	return claim(ctx, &leases{client, namespace, name, claimTimeout}, holder)
}

// maxRaces is how often a claim is tried again at once because somebody else was
// first. More than one is the work of someone who deletes it.
const maxRaces = 3

func claim(ctx context.Context, store store, holder string) (Claimed, error) {
	own := newClaim(holder)
	wait := 50 * time.Millisecond
	races := 0
	for {
		c, err := tryClaim(ctx, store, own)
		if err == nil {
			return c, nil
		}
		switch {
		case definite(err):
			return Claimed{}, err
		case apierrors.IsAlreadyExists(err) && races < maxRaces:
			races++
			continue // somebody was first just now
		}
		if !sleep(ctx, wait/2+jitter(wait/2)) {
			return Claimed{}, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		wait = min(2*wait, 2*time.Second)
	}
}

// tryClaim looks before it creates: all but the first only read.
func tryClaim(ctx context.Context, store store, own *coordinationv1.Lease) (Claimed, error) {
	lease, err := store.get(ctx)
	if err != nil {
		return Claimed{}, err
	}
	if lease == nil {
		lease, err = store.put(ctx, own.DeepCopy())
	}
	if err != nil {
		return Claimed{}, err
	}
	if !isClaim(lease) {
		return Claimed{}, ErrNoClaim
	}
	first, _ := holderOf(lease.Spec)
	return Claimed{
		Won: first.Identity == *own.Spec.HolderIdentity, First: first.Identity, Since: lease.CreationTimestamp.Time,
	}, nil
}

// newClaim is the Lease that makes the claim. Its holder is how it is known again
// when the answer to its creation was lost: who has no name gets one that nobody
// else has.
func newClaim(holder string) *coordinationv1.Lease {
	if holder == "" {
		host, _ := os.Hostname() // for people only
		holder = host + "_" + rand.Text()
	}
	now := metav1.NowMicro()
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{labelManagedBy: "kconfd", labelClaim: "true"},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, AcquireTime: &now},
	}
}

// isClaim says whether the Lease, which may be nil, is a claim.
func isClaim(lease *coordinationv1.Lease) bool {
	return lease != nil && lease.Labels[labelClaim] != ""
}

// definite says whether another attempt would have the same answer.
func definite(err error) bool {
	var denied *DeniedError
	return errors.As(err, &denied) || errors.Is(err, ErrNoClaim) || apierrors.IsUnauthorized(err) ||
		apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsNotFound(err)
}
