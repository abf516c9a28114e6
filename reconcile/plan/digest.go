package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ownPrefix begins every label and annotation that is rota's.
const ownPrefix = "rota.dev/"

// RunDigest returns the digest of what a Job runs: its pod template without
// rota's own keys, its completions and its completion mode, as written. Null
// and no value are the same, and so are empty and no metadata. The text that
// is hashed is fixed by `d1:`: were it to change, every Job would run again.
func RunDigest(job *unstructured.Unstructured) (string, error) {
	return new(canonical).runDigest(job)
}

func (c *canonical) runDigest(job *unstructured.Unstructured) (string, error) {
	spec, _ := job.Object["spec"].(map[string]any)
	what := map[string]any{}
	for _, field := range []string{"template", "completions", "completionMode"} {
		if v, ok := spec[field]; ok {
			what[field] = v
		}
	}
	if template, ok := what["template"].(map[string]any); ok {
		what["template"] = withoutOwnKeys(template)
	}
	return c.digest("d1:", what, true)
}

// withoutOwnKeys returns a pod template without rota's labels and annotations.
func withoutOwnKeys(template map[string]any) map[string]any {
	metadata, ok := template["metadata"].(map[string]any)
	if !ok {
		return template
	}
	kept := map[string]any{}
	for field, v := range metadata {
		keys, isMap := v.(map[string]any)
		if isMap && (field == "labels" || field == "annotations") {
			others := map[string]any{}
			for k, v := range keys {
				if !strings.HasPrefix(k, ownPrefix) {
					others[k] = v
				}
			}
			if len(others) > 0 {
				kept[field] = others
			}
		} else if v != nil {
			kept[field] = v
		}
	}
	out := map[string]any{}
	for field, v := range template {
		if field != "metadata" {
			out[field] = v
		} else if len(kept) > 0 {
			out[field] = kept
		}
	}
	return out
}

// canonical writes a value so that two values have the same text only if they
// are equal: each piece has a letter for its type and, where it can vary, its
// length; maps are in the order of their keys, and 1 and 1.0 are the same.
type canonical struct {
	skipNull bool
	text     []byte
}

// digest hashes the text of v. That text is rota's own, because encoding/json
// may change how it escapes from one release of Go to the next. What c wrote
// before is overwritten.
func (c *canonical) digest(version string, v any, skipNull bool) (string, error) {
	c.skipNull, c.text = skipNull, c.text[:0]
	if err := c.write(v); err != nil {
		return "", err
	}
	sum := sha256.Sum256(c.text)
	return version + hex.EncodeToString(sum[:]), nil
}

func (c *canonical) write(v any) error {
	switch v := v.(type) {
	case nil:
		c.text = append(c.text, 'n')
	case bool:
		c.text = strconv.AppendBool(append(c.text, 'b'), v)
	case string:
		c.string(v)
	case int64:
		c.text = append(strconv.AppendInt(append(c.text, 'i'), v, 10), ';')
	case int:
		return c.write(int64(v))
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return c.write(int64(v))
		}
		c.text = append(strconv.AppendFloat(append(c.text, 'f'), v, 'g', -1, 64), ';')
	case []any:
		c.length('l', len(v))
		for _, item := range v {
			if err := c.write(item); err != nil {
				return err
			}
		}
	case map[string]any:
		return c.fields(v)
	default:
		return fmt.Errorf("a value of the type %T is none that Kubernetes has", v)
	}
	return nil
}

func (c *canonical) fields(m map[string]any) error {
	var few [24]string
	keys := few[:0]
	for k, v := range m {
		if v != nil || !c.skipNull {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	c.length('m', len(keys))
	for _, k := range keys {
		c.string(k)
		if err := c.write(m[k]); err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
	}
	return nil
}

func (c *canonical) string(s string) {
	c.length('s', len(s))
	c.text = append(c.text, s...)
}

func (c *canonical) length(letter byte, n int) {
	c.text = append(strconv.AppendInt(append(c.text, letter), int64(n), 10), ':')
}
