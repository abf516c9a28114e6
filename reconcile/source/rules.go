package source

// Rule ids of this package; what they mean to a user is written in schema.
const (
	ruleURL         = "R100"
	ruleRef         = "R101"
	ruleCredentials = "R102"
	ruleHostKey     = "R103"
	ruleDenied      = "R104"
	ruleNotFound    = "R105"
	ruleRefMissing  = "R106"
	ruleEmpty       = "R107"
	rulePath        = "R108"
	ruleUnreachable = "R109"
	ruleTime        = "R110"
	ruleBytes       = "R111"
	ruleFileBytes   = "R112"
	ruleLink        = "R113"
	ruleSubmodule   = "R114"
	ruleName        = "R115"
	ruleGarbage     = "R116"
	ruleRedirect    = "R117"
	ruleContent     = "R118"
	ruleDirectory   = "R119"
)
