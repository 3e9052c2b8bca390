// Command node-agent replaces the network and storage add-ons of kind on each node: it routes pod traffic between nodes, queues
// packets for network policies, and creates a directory for each claim of the default StorageClass.
// It exists because the add-ons of kind are published as images only.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

func main() {
	node := flag.String("node", os.Getenv("NODE_NAME"), "name of the node this agent runs on")
	podSubnet := flag.String("pod-subnet", "", "CIDR of all pods in the cluster; traffic to any other destination is masqueraded")
	volumes := flag.String("volumes", "/var/lib/cloud-django/volumes", "directory on the node that holds the volumes")
	klog.InitFlags(nil)
	flag.Parse()

	if *node == "" || *podSubnet == "" {
		klog.Fatal("node-agent needs --node and --pod-subnet")
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		klog.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	go provisionVolumes(klog.NewContext(ctx, klog.Background()), client, *node, *volumes)
	if err := routePods(ctx, client, *node, *podSubnet); err != nil {
		klog.Fatal(err)
	}
}
