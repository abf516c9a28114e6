package schema

import "testing"

// BenchmarkValidateOne prints what one Job costs, which is mostly the walk of
// its values; see also BenchmarkValidate in cmd/rota.
func BenchmarkValidateOne(b *testing.B) {
	objects := []Object{object(b, goodCronJob)}
	b.ReportAllocs()
	for b.Loop() {
		if problems := Validate(objects); len(problems) > 0 {
			b.Fatal(problems[0])
		}
	}
}

// BenchmarkSchemaLoad prints what the first validation of a process costs more
// than the others: to find the definitions, and to compile those of a CronJob.
func BenchmarkSchemaLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if readCatalog(kubernetesSchema).kind("batch/v1", "CronJob") == nil {
			b.Fatal("no schema of CronJobs")
		}
	}
}
