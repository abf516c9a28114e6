package notify

import "rota.dev/rota/schema"

// Rule ids of this package; what they mean to a user is written in schema.
const (
	rulePlace     = "R400"
	ruleToken     = "R401"
	ruleMarker    = "R402"
	ruleForbidden = "R403"
	ruleNotFound  = "R404"
	ruleTooLong   = "R405"
	ruleHost      = "R406"
)

func problem(rule, message, mend string, cause error) *schema.Problem {
	return &schema.Problem{Rule: rule, Severity: schema.SeverityError, Message: message, Mend: mend, Cause: cause}
}
