package auth

import (
	"context"
	"errors"
)

// Abstain is what a policy of a chain returns for credentials that are not of its kind: the next one is asked. A policy
// that returns it outside a chain refuses.
var Abstain error = &Refusal{Code: Unauthorized, Message: "these credentials are of no kind that is accepted here"}

// Chain asks policies in turn; the first that does not abstain decides.
type Chain []Policy

// OnRequest returns [Abstain] when every policy does.
func (c Chain) OnRequest(ctx context.Context, r Request) (Grant, error) {
	for _, p := range c {
		if g, err := p.OnRequest(ctx, r); !errors.Is(err, Abstain) {
			return g, err
		}
	}
	return Grant{}, Abstain
}
