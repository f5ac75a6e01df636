package auth

import (
	"errors"
	"fmt"
)

// Code is the kind of a [Refusal]; each dialect has its own way to say it to the client.
type Code string

const (
	// Unauthorized: the credentials are missing or wrong. Other credentials may help.
	Unauthorized Code = "unauthorized"
	// Forbidden: the credentials are good, but not for this. Asking again will not help.
	Forbidden Code = "forbidden"
	// NotFound: there is no such database, or the client is not to know that there is.
	NotFound Code = "not_found"
	// Unavailable: no decision could be made now. Asking again later may help.
	Unavailable Code = "unavailable"
)

// defaultMessages are the codes that exist, and what the client reads when a refusal has no message of its own.
var defaultMessages = map[Code]string{
	Unauthorized: "you are not authorized to access this database",
	Forbidden:    "access to this database is refused",
	NotFound:     "database not found",
	Unavailable:  "access could not be decided, try again later",
}

// Refusal is a "no" that is meant for the user.
type Refusal struct {
	// Code must be one of the four of this package.
	Code Code
	// Message is shown to the user. Empty: a plain sentence for the code.
	Message string
	// Err is the cause, for the log only; may be nil.
	Err error
}

// Error is the message for the user. It does not contain the cause, so that showing a refusal can leak nothing: log
// [Refusal.Err] beside it.
func (r *Refusal) Error() string {
	if r.Message != "" {
		return r.Message
	}
	return defaultMessages[r.Code]
}

// Unwrap is the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// refusalOf makes a policy's error a refusal. An error that is none, or one of an unknown code, tells the client nothing.
func refusalOf(err error) *Refusal {
	var r *Refusal
	found := errors.As(err, &r)
	if found && r == nil {
		err = errors.New("policy returned a nil *Refusal as its error") // whose Error panics
	}
	if r == nil {
		return &Refusal{Code: Unavailable, Message: defaultMessages[Unavailable], Err: err}
	}
	if _, known := defaultMessages[r.Code]; !known {
		cause := fmt.Errorf("refusal of unknown code %q: %w", r.Code, err)
		return &Refusal{Code: Forbidden, Message: defaultMessages[Forbidden], Err: cause}
	}
	cause := r.Err
	if err != error(r) { // wrapped: what was said around the refusal is for the log
		cause = errors.Join(err, cause)
	}
	return &Refusal{Code: r.Code, Message: r.Error(), Err: cause}
}
