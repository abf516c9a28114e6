package schema

// The tables of the stages after rendering.
var (
	sourceRules   []Rule
	clusterRules  []Rule
	scheduleRules []Rule
)
