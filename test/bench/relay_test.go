package main

import "testing"

func TestIsCall(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		`["s","data",[0,"db","_id",[]]]`:                    true,
		`["s","data",[17,null,"get",["_local/x"]]]`:         true,
		`["s","data",{"database":"db","credentials":null}]`: false,
		`["s","new",{"opts":{}}]`:                           false,
		`["s","close"]`:                                     false,
		`["s","data",["_event","change",[0,{}]]]`:           false,
		`["s","data",[]]`:                                   false,
		`["s","data",[1`:                                    false,
		``:                                                  false,
	} {
		if got := isCall([]byte(line)); got != want {
			t.Errorf("%s: %t, want %t", line, got, want)
		}
	}
}

func TestChangedID(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`{"seq":"5-g1AA","id":"write-000003","changes":[{"rev":"1-a"}]}`: "write-000003",
		`["c","data",["_event","change",[0,{"seq":"1","id":"x"}]]]`:      "x",
		`{"seq":"5"}`: "",
		`{"id":"cut`:  "",
		"":            "",
	} {
		got, ok := changedID([]byte(line))
		if string(got) != want && ok || ok != (want != "") {
			t.Errorf("%s: %q %t, want %q", line, got, ok, want)
		}
	}
	for id, want := range map[string]int{writeID(0): 0, writeID(123): 123, "write-x": -1, "write--1": -1, "other": -1} {
		if got, ok := writeNumber([]byte(id)); ok != (want >= 0) || ok && got != want {
			t.Errorf("%s is the write %d, %t", id, got, ok)
		}
	}
}
