package bridge

import (
	"github.com/prometheus/client_golang/prometheus"

	"pouchbridge/couch"
)

// addFeeds makes the shared feeds of a server.
func (s *Server) addFeeds(name string, c *couch.Client) {
	if s.feeds[c] != nil {
		return // a server may have two names
	}
	log := s.options.Logger.With().Str("upstream", name).Logger()
	o := s.options.Feeds
	o.Patience = s.options.UpstreamPatience
	o.Lost = func(database string, err error) {
		event := log.Warn().Err(err)
		if err == nil {
			event = log.Info()
		}
		switch {
		case database != "" && err != nil:
			event.Str("database", database).Msg("the shared feed has broken off and is taken up again; sessions wait for it")
		case database != "":
			event.Str("database", database).Msg("the shared feed is back")
		case err != nil:
			event.Msg("_db_updates cannot be read; idle feeds stay open, and those beyond the limit are polled")
		default:
			event.Msg("_db_updates is read")
		}
	}
	o.Reserve = func(n int) bool { return s.caches.reserve(int64(n)) }
	o.Release = func(n int) { s.caches.release(int64(n)) }
	s.feeds[c] = c.NewFeeds(o)
}

// watchFeeds exports what the shared feeds do, of all servers together.
func (m *metrics) watchFeeds(r prometheus.Registerer, feeds map[*couch.Client]*couch.Feeds) {
	if r == nil {
		return
	}
	sum := func(of func(couch.FeedsStats) float64) func() float64 {
		return func() (total float64) {
			for _, f := range feeds {
				total += of(f.Stats())
			}
			return total
		}
	}
	gauge := func(name, help string, of func(couch.FeedsStats) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, sum(of)))
	}
	counter := func(name, help string, of func(couch.FeedsStats) float64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, sum(of)))
	}
	gauge("shared_feeds", "Feeds of changes that sessions share.", func(s couch.FeedsStats) float64 { return float64(s.Feeds) })
	gauge("shared_feeds_open", "Shared feeds with an open request of CouchDB.", func(s couch.FeedsStats) float64 { return float64(s.Open) })
	gauge("shared_feeds_asleep", "Shared feeds that wait for their database to change.", func(s couch.FeedsStats) float64 { return float64(s.Asleep) })
	counter("shared_feed_rows_total", "Rows that shared feeds have read.", func(s couch.FeedsStats) float64 { return float64(s.Rows) })
	counter("shared_feeds_lost_total", "Shared feeds that broke off and were taken up again.", func(s couch.FeedsStats) float64 { return float64(s.Lost) })
	counter("feed_catch_up_requests_total", "Requests of live sessions to catch up with their shared feed.", func(s couch.FeedsStats) float64 { return float64(s.Pages) })
	counter("feed_overtaken_total", "Live sessions too slow for the rows that their shared feed keeps.", func(s couch.FeedsStats) float64 { return float64(s.Overtaken) })
}
