package main

import "pouchbridge/auth"

// webhookVariables are the variables of the options of [auth.WebhookOptions] that faults can be about.
var webhookVariables = map[string]string{
	"URL": "WEBHOOK_URL", "Secret": "WEBHOOK_SECRET", "Timeout": "WEBHOOK_TIMEOUT", "MaxAge": "WEBHOOK_MAX_AGE", "BreakFor": "WEBHOOK_BREAK_FOR",
	"MaxInFlight": "WEBHOOK_MAX_IN_FLIGHT", "CacheSize": "WEBHOOK_CACHE_SIZE", "BreakAfter": "WEBHOOK_BREAK_AFTER",
}

func (s *settings) newWebhook(f *faults) auth.Policy {
	if s.WebhookURL == "" && s.WebhookURLFile == "" {
		f.add("WEBHOOK_URL", "is not set; the policy webhook needs an address to ask, like https://app.example.com/pouchbridge")
		return nil
	}
	if s.WebhookTimeout >= s.PolicyTimeout {
		f.add("WEBHOOK_TIMEOUT", "is %s; it must be less than %sPOLICY_TIMEOUT, which is %s", s.WebhookTimeout, prefix, s.PolicyTimeout)
	}
	before := len(*f)
	o := auth.WebhookOptions{
		URL:         secret("WEBHOOK_URL", s.WebhookURL, s.WebhookURLFile, f),
		AllowHTTP:   s.WebhookOverHTTP,
		Secret:      secret("WEBHOOK_SECRET", s.WebhookSecret, s.WebhookSecretFile, f),
		Cookies:     s.WebhookCookies,
		Timeout:     s.WebhookTimeout,
		MaxInFlight: s.WebhookMaxInFlight,
		MaxAge:      s.WebhookMaxAge,
		CacheSize:   s.WebhookCacheSize,
		BreakAfter:  s.WebhookBreakAfter,
		BreakFor:    s.WebhookBreakFor,
		UserAgent:   "pouchbridge/" + version().Version,
	}
	if len(*f) > before {
		return nil // what cannot be read has been reported
	}
	policy, err := auth.NewWebhook(o)
	if err != nil {
		f.options(err, webhookVariables)
		return nil
	}
	return policy
}
