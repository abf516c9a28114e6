package schema

// savedRules are those of plans in a file (R250-R259).
var savedRules = []Rule{
	{"R250", "The saved plan cannot be read", "The file is no plan that `rota plan --out` wrote, or it was damaged or edited since: its checksum is another. The checksum finds accidents; it is no signature, so keep the file where only those can write who may apply. Make the plan again."},
	{"R251", "The saved plan is of another version of rota", "Another version may decide otherwise on the same repository and cluster, so what was reviewed would not be what is applied. Apply with the version that made the plan, or make it again."},
	{"R252", "The saved plan is of another cluster", "A plan holds for the cluster that it was made on. Clusters are told apart by the uid of the namespace kube-system and, where that may not be read, by the address of the server. Choose the right kubeconfig and context, or make the plan again."},
	{"R253", "The saved plan is of another Sync, or was made by other choices", "The Sync, its namespaces, the overlay and the flags that decide (--prune, --max-prune-percent, --force-conflicts, --scheduler) are in the plan. Leave the flag out: what the plan says holds. To apply otherwise, make another plan."},
	{"R254", "The saved plan is of another revision", "PATH is not as it was when the plan was made: another commit is checked out, or a file changed. Check out the revision that the plan names, or make the plan again."},
	{"R255", "What the saved plan was made on moved", "The plan was made again before anything was written, and something would happen to this object that the saved plan does not say, or not to the object that it says it of. The message has both and what changed, by whom. What changed without changing an effect, as a status does, is no reason. Nothing was written. Make the plan again and review it."},
}
