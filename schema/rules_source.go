package schema

// sourceRules are those of git repositories and directories.
var sourceRules = []Rule{
	{"R100", "The git URL is refused", "Only https:// and ssh:// (also `git@host:path`) are accepted; file:// and http:// on loopback need --allow-local. A URL may hold no credentials, query, control characters, nor anything that a program could take for an option, a command or a remote helper. A host name that resolves to a link-local address (where clouds serve credentials) is refused too."},
	{"R101", "The branch, tag or commit is refused", "At most one of branch, tag and commit is given, by its short name as git prints it; a commit has all 40 hex digits. A tag must name a commit, not a file or folder."},
	{"R102", "The credentials do not fit", "https takes a token, a username and password, or a bearer token; ssh takes a private key, with its passphrase if it is encrypted; one kind at a time. A CA bundle holds certificates in PEM form."},
	{"R103", "The SSH host key is not known", "ssh connects only to hosts whose key is in known_hosts, so that nobody else can answer in their place. The message lists the type and fingerprint that the host offers and those that are known; compare them with what the host publishes before you change known_hosts."},
	{"R104", "The git server denies access", "The server asks for credentials, or forbids with those given to read the repository, or does not accept the SSH key. Renew the token, or add the deploy key to the repository; what is in force stays."},
	{"R105", "The repository is not found", "The server (or the disk) has no repository at this place. Many servers answer the same when the credentials may not read it."},
	{"R106", "The branch, tag or commit is missing", "It does not exist, or was deleted. What is in force stays and nothing is pruned until it exists again or the source names another one."},
	{"R107", "The repository is empty", "The repository has no commit yet, so there is nothing to render, and nothing is pruned. Push a first commit."},
	{"R108", "The path is missing", "The folder to render is not in the revision, is a file, or does not lie inside the repository. Nothing is pruned because of it."},
	{"R109", "The git server cannot be reached", "The connection, the name resolution, the certificate or the HTTP answer failed. The fetch is tried again at the next interval; what is in force stays."},
	{"R110", "The fetch took too long", "The whole fetch has one deadline (one minute by default), so that a server that hangs or drips cannot hold a Sync. Check the server, or raise the limit for a large repository."},
	{"R111", "The revision is too large", "A revision has limits on its files and bytes, checked while it is received, so that neither a large nor a malicious repository exhausts memory. Give job definitions a repository of their own, or raise the limit."},
	{"R112", "A file is too large", "The file exceeds the limit for one file (16 MiB by default). It matters only when something reads the file."},
	{"R113", "A symbolic link leads nowhere or out", "Links are followed as long as they stay inside the repository or folder. One that leaves it, is absolute, dangles, or runs in a circle is an error, because leaving it out silently would look like a deletion."},
	{"R114", "A submodule is not fetched", "A folder under the path is another repository, and rota fetches only the repository that is configured. Put the files into the repository, or give the submodule a source of its own."},
	{"R115", "A file name is refused", "Names must be UTF-8 without control characters and backslashes, and folders at most 128 deep. Names such as `..` or `.git`, which git never makes, mean that the repository was crafted."},
	{"R116", "The answer is not what git sends", "The server's answer, a packfile or an object is damaged, truncated or not git's at all; often a login page or proxy answers in its place. Nothing of it is used and the next fetch starts afresh."},
	{"R117", "A redirect to another host is refused", "The server redirects to another host, port or scheme; credentials are bound to the configured one and nobody has configured the other. If the repository moved, set its new URL."},
	{"R118", "The content cannot be read", "The file is only a pointer into Git LFS, a pipe, socket or device, or its permissions forbid to read it."},
	{"R119", "The folder cannot be read or watched", "The folder of a directory source is missing, not a folder, changes faster than it can be read as one state, or cannot be watched (see fs.inotify.max_user_watches)."},
}
