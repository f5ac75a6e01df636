package example

import "fmt"

var _ = fmt.Sprint
