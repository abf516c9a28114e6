package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"rota.dev/rota/reconcile/cluster/local"
	"rota.dev/rota/reconcile/cluster/local/localtest"
)

// The scripts are what a user does with a cluster. Each has a namespace of its
// own, $NS, and `hand`, which does what somebody else does by hand.
func TestClusterScripts(t *testing.T) {
	kube := localtest.Shared(t)
	client, err := kubernetes.NewForConfig(kube.Config())
	if err != nil {
		t.Fatal(err)
	}
	// A script's folder is no checkout to build a local cluster from.
	binary, err := local.Find(t.Context(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/cluster",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			// The name of the script's folder is script-<name>.
			parts := strings.Split(strings.TrimSuffix(env.WorkDir, "/"), "/")
			namespace := strings.ReplaceAll(parts[len(parts)-1], "_", "-")
			env.Setenv("NS", namespace)
			env.Setenv("KUBECONFIG", kube.Kubeconfig)
			env.Setenv(local.EnvBinary, binary)
			_, err := client.CoreV1().Namespaces().Create(context.Background(),
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"hand":       func(ts *testscript.TestScript, neg bool, args []string) { hand(ts, kube, client, args) },
			"documented": shownInErrors,
		},
	})
}

// hand changes the cluster as a person with kubectl would.
func hand(ts *testscript.TestScript, kube *local.Local, client kubernetes.Interface, args []string) {
	ctx, ns := context.Background(), ts.Getenv("NS")
	var err error
	switch strings.Join(args[:2], " ") {
	case "patch cronjob":
		_, err = client.BatchV1().CronJobs(ns).Patch(ctx, args[2], types.MergePatchType, []byte(args[3]), metav1.PatchOptions{FieldManager: "kubectl-patch"})
	case "patch configmap":
		_, err = client.CoreV1().ConfigMaps(ns).Patch(ctx, args[2], types.MergePatchType, []byte(args[3]), metav1.PatchOptions{FieldManager: "kubectl-patch"})
	case "create configmap":
		_, err = client.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: args[2]}, Data: map[string]string{"k": "by hand"}},
			metav1.CreateOptions{FieldManager: "kubectl-create"})
	case "delete job":
		background := metav1.DeletePropagationBackground
		err = client.BatchV1().Jobs(ns).Delete(ctx, args[2], metav1.DeleteOptions{PropagationPolicy: &background})
	case "create quota":
		_, err = client.CoreV1().ResourceQuotas(ns).Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"},
			Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/jobs.batch": resource.MustParse("0")}}}, metav1.CreateOptions{})
	case "login viewer":
		err = login(ctx, kube, client, ns, ts.MkAbs("viewer.yaml"))
	case "await refusal":
		err = awaitRefusal(ctx, client, ns)
	default:
		ts.Fatalf("hand: unknown %v", args)
	}
	ts.Check(err)
}

// login writes a kubeconfig for an account that may do nothing.
func login(ctx context.Context, kube *local.Local, client kubernetes.Interface, ns, file string) error {
	if _, err := client.CoreV1().ServiceAccounts(ns).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "viewer"}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	token, err := client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "viewer", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	config, err := clientcmd.LoadFromFile(kube.Kubeconfig)
	if err != nil {
		return err
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	}
	return clientcmd.WriteToFile(*config, file)
}

// awaitRefusal returns when the server has begun to enforce an admission policy
// on Secrets without labels: it reads policies some time after they are there.
func awaitRefusal(ctx context.Context, client kubernetes.Interface, ns string) error {
	probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().Secrets(ns).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy"), nil
	})
}
