package auth

import (
	"container/list"
	"time"
)

// decisionCache keeps the calls whose decisions may be used again: a bounded number, those used last. Not safe for concurrent
// use.
type decisionCache struct {
	size    int
	entries map[webhookKey]*list.Element // of *keptDecision
	recent  *list.List                   // used last is first
}

type keptDecision struct {
	key   webhookKey
	call  *webhookCall
	until time.Time
}

func newDecisionCache(size int) *decisionCache {
	return &decisionCache{size: size, entries: map[webhookKey]*list.Element{}, recent: list.New()}
}

// get returns a call that has ended, or nil.
func (c *decisionCache) get(key webhookKey) *webhookCall {
	e := c.entries[key]
	if e == nil {
		return nil
	}
	kept := e.Value.(*keptDecision)
	if !time.Now().Before(kept.until) {
		c.drop(key)
		return nil
	}
	c.recent.MoveToFront(e)
	return kept.call
}

func (c *decisionCache) put(key webhookKey, call *webhookCall, until time.Time) {
	c.drop(key)
	c.entries[key] = c.recent.PushFront(&keptDecision{key, call, until})
	if c.recent.Len() > c.size {
		c.drop(c.recent.Back().Value.(*keptDecision).key)
	}
}

func (c *decisionCache) drop(key webhookKey) {
	if e := c.entries[key]; e != nil {
		c.recent.Remove(e)
		delete(c.entries, key)
	}
}
