//go:build plan9

package inner

import (
	"os"

	_ "example"
)

var _ = os.Args
