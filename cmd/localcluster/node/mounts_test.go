package node

import "testing"

func TestRewrite(t *testing.T) {
	m := newMounts([]mount{{"/data", "/real/d"}, {"/data/inner/", "/real/i"}, {"/etc/app.conf", "/real/f"}, {"/", "/real/root"}, {"/same", "/same"}})
	for name, test := range map[string]struct{ in, want string }{
		"the mount itself":                  {"/data", "/real/d"},
		"a path below it":                   {"/data/x/y", "/real/d/x/y"},
		"a closing slash":                   {"/data/", "/real/d/"},
		"the inner mount wins":              {"/data/inner/x", "/real/i/x"},
		"not beside the inner mount":        {"/data/innermost", "/real/d/innermost"},
		"an option's value":                 {"--in=/data/x", "--in=/real/d/x"},
		"several in a shell script":         {`cat "/data/a" '/data/b' >/data/c; ls /data`, `cat "/real/d/a" '/real/d/b' >/real/d/c; ls /real/d`},
		"a list of paths":                   {"/bin:/data/bin:/data", "/bin:/real/d/bin:/real/d"},
		"a mounted file":                    {"-c /etc/app.conf", "-c /real/f"},
		"not a longer name":                 {"/database /data-old /data.bak /data2", "/database /data-old /data.bak /data2"},
		"not the end of another path":       {"/srv/data ./data ../data x/data", "/srv/data ./data ../data x/data"},
		"not a URL's path":                  {"http://host/data", "http://host/data"},
		"not the root":                      {"/ /bin/sh", "/ /bin/sh"},
		"not a mount that is where it says": {"/same/x", "/same/x"},
		"text without a path":               {"echo hello", "echo hello"},
		"nothing":                           {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := m.rewrite(test.in); got != test.want {
				t.Errorf("rewrite(%q): got %q, want %q", test.in, got, test.want)
			}
		})
	}
}

func TestRewriteWithoutMountsChangesNothing(t *testing.T) {
	if got := newMounts(nil).rewrite("/data/x"); got != "/data/x" {
		t.Errorf("got %q", got)
	}
}
