package example

import "testing"

var _ testing.TB
