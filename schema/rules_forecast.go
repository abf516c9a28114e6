package schema

// forecastRules are those of what is asked about coming fires (R350-R359).
var forecastRules = []Rule{
	{"R350", "Too many fires to look at", "What is asked for would list more than a million fires. Ask for an earlier --until, or for fewer schedules by --name."},
}
