package schema

import _ "embed"

//go:embed rota.schema.json
var jsonSchema []byte

// JSONSchema returns the draft-07 JSON Schema of rota's own documents, for
// editors: `# yaml-language-server: $schema=rota.schema.json`.
func JSONSchema() []byte { return jsonSchema }
