package controlplane

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"
	"k8s.io/kubernetes/pkg/controller/cronjob"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/disruption"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/replication"
	"k8s.io/kubernetes/pkg/controller/statefulset"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

// controllers are the loops of kube-controller-manager that this binary has, each started from its own package rather
// than through cmd/kube-controller-manager/app: that package links volumes, the scheduler's framework and half a kubelet,
// some 260 packages of 2520 and 60 of 755 seconds of a cold build's CPU time, for loops that have nothing to do on one
// machine without volumes, certificates or nodes to lose.
var controllers = []controller{
	{names.JobController, "job", newJobController},
	{names.CronJobController, "cronjob", newCronJobController},
	{names.TTLAfterFinishedController, "ttl-after-finished", newTTLAfterFinishedController},
	{names.DeploymentController, "deployment", newDeploymentController},
	{names.ReplicaSetController, "replicaset", newReplicaSetController},
	{names.ReplicationControllerController, "replicationcontroller", newReplicationController},
	{names.StatefulSetController, "statefulset", newStatefulSetController},
	{names.DaemonSetController, "daemonset", newDaemonSetController},
	{names.DisruptionController, "disruption", newDisruptionController},
	{names.GarbageCollectorController, "garbagecollector", newGarbageCollector},
	{names.NamespaceController, "namespace", newNamespaceController},
	{names.ServiceAccountController, "serviceaccount", newServiceAccountController},
	{names.ServiceAccountTokenController, "serviceaccount-token", newServiceAccountTokenController},
	{names.RootCACertificatePublisherController, "root-ca-cert-publisher", newRootCAPublisher},
	{names.ResourceQuotaController, "resourcequota", newResourceQuotaController},
	{names.ClusterRoleAggregationController, "clusterrole-aggregation", newClusterRoleAggregation},
}

// leftOut are kube-controller-manager's other loops: a selection may exclude them, but not ask for them. The two that
// write endpoints are among them because every Pod is at 127.0.0.1 here, and the API refuses endpoints on loopback.
var leftOut = []string{
	names.EndpointsController, names.EndpointSliceController,
	names.EndpointSliceMirroringController, names.PodGarbageCollectorController, names.HorizontalPodAutoscalerController,
	names.CertificateSigningRequestSigningController, names.CertificateSigningRequestApprovingController,
	names.CertificateSigningRequestCleanerController, names.PodCertificateRequestCleanerController, names.TTLController,
	names.BootstrapSignerController, names.TokenCleanerController, names.NodeIpamController, names.NodeLifecycleController,
	names.TaintEvictionController, names.DeviceTaintEvictionController, names.PersistentVolumeBinderController,
	names.PersistentVolumeAttachDetachController, names.PersistentVolumeExpanderController,
	names.PersistentVolumeClaimProtectionController, names.PersistentVolumeProtectionController,
	names.PodGroupProtectionController, names.KubeAPIServerClusterTrustBundlePublisherController,
	names.EphemeralVolumeController, names.StorageVersionGarbageCollectorController, names.ResourceClaimController,
	names.ResourcePoolStatusRequestController, names.LegacyServiceAccountTokenCleanerController,
	names.ValidatingAdmissionPolicyStatusController, names.VolumeAttributesClassProtectionController,
	names.ServiceCIDRController, names.StorageVersionMigratorController, names.SELinuxWarningController,
}

// The numbers of workers below are kube-controller-manager's defaults.

func newJobController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("job-controller")
	if err != nil {
		return nil, err
	}
	// Workloads and PodGroups belong to the feature WorkloadWithJob, alpha and off.
	jobs, err := job.NewController(ctx, client, c.informers.Core().V1().Pods(), c.informers.Batch().V1().Jobs(), nil, nil)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { jobs.Run(ctx, 5) }, nil
}

func newCronJobController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("cronjob-controller")
	if err != nil {
		return nil, err
	}
	cronJobs, err := cronjob.NewControllerV2(ctx, c.informers.Batch().V1().Jobs(), c.informers.Batch().V1().CronJobs(), client)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { cronJobs.Run(ctx, 5) }, nil
}

func newTTLAfterFinishedController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("ttl-after-finished-controller")
	if err != nil {
		return nil, err
	}
	ttl := ttlafterfinished.New(ctx, c.informers.Batch().V1().Jobs(), client)
	return func(ctx context.Context) { ttl.Run(ctx, 5) }, nil
}

func newDeploymentController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("deployment-controller")
	if err != nil {
		return nil, err
	}
	apps := c.informers.Apps().V1()
	deployments, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), c.informers.Core().V1().Pods(), client)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { deployments.Run(ctx, 5) }, nil
}

func newReplicaSetController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("replicaset-controller")
	if err != nil {
		return nil, err
	}
	replicaSets := replicaset.NewReplicaSetController(ctx, c.informers.Apps().V1().ReplicaSets(), c.informers.Core().V1().Pods(), client,
		replicaset.BurstReplicas)
	return func(ctx context.Context) { replicaSets.Run(ctx, 5) }, nil
}

func newReplicationController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("replication-controller")
	if err != nil {
		return nil, err
	}
	core := c.informers.Core().V1()
	replications := replication.NewReplicationManager(ctx, core.Pods(), core.ReplicationControllers(), client, replication.BurstReplicas)
	return func(ctx context.Context) { replications.Run(ctx, 5) }, nil
}

func newStatefulSetController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("statefulset-controller")
	if err != nil {
		return nil, err
	}
	core, apps := c.informers.Core().V1(), c.informers.Apps().V1()
	statefulSets := statefulset.NewStatefulSetController(ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(),
		apps.ControllerRevisions(), client)
	return func(ctx context.Context) { statefulSets.Run(ctx, 5) }, nil
}

func newDaemonSetController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("daemon-set-controller")
	if err != nil {
		return nil, err
	}
	core, apps := c.informers.Core().V1(), c.informers.Apps().V1()
	daemonSets, err := daemon.NewDaemonSetsController(ctx, apps.DaemonSets(), apps.ControllerRevisions(), core.Pods(), core.Nodes(), client,
		flowcontrol.NewBackOff(time.Second, 15*time.Minute))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) { daemonSets.Run(ctx, 2) }, nil
}

func newDisruptionController(ctx context.Context, c *controllerContext) (runController, error) {
	client, err := c.client("disruption-controller")
	if err != nil {
		return nil, err
	}
	kinds := scale.NewDiscoveryScaleKindResolver(client.Discovery())
	scales, err := scale.NewForConfig(c.clientConfig("disruption-controller"), c.restMapper, dynamic.LegacyAPIPathResolverFunc, kinds)
	if err != nil {
		return nil, fmt.Errorf("making scale client: %w", err)
	}
	core, apps := c.informers.Core().V1(), c.informers.Apps().V1()
	disruptions := disruption.NewDisruptionController(ctx, core.Pods(), c.informers.Policy().V1().PodDisruptionBudgets(),
		core.ReplicationControllers(), apps.ReplicaSets(), apps.Deployments(), apps.StatefulSets(), client, c.restMapper, scales,
		client.Discovery())
	return func(ctx context.Context) { disruptions.Run(ctx, 1) }, nil
}
