package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/coreos/go-iptables/iptables"
	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// routePods maintains one route per other node (from its pod subnet to its address), and masquerades traffic that leaves the cluster.
// Traffic between pods is not masqueraded, because NetworkPolicies identify a pod by its source address.
func routePods(ctx context.Context, client kubernetes.Interface, self, podSubnet string) error {
	rules, err := iptables.New()
	if err != nil {
		return fmt.Errorf("iptables: %w", err)
	}
	if err := rules.AppendUnique("nat", "POSTROUTING", "-s", podSubnet, "!", "-d", podSubnet, "-j", "MASQUERADE"); err != nil {
		return fmt.Errorf("masquerade rule: %w", err)
	}
	if err := queueForPolicies(ctx, rules, podSubnet); err != nil {
		return err
	}

	factory := informers.NewSharedInformerFactory(client, 0)
	informer := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(_, _ any) { notify() },
		DeleteFunc: func(any) { notify() },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	// A restarted node loses its routes without an event.
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		nodes, err := informer.Lister().List(labels.Everything())
		if err != nil {
			return err
		}
		for _, node := range nodes {
			if node.Name == self {
				continue
			}
			if err := routeTo(node); err != nil {
				klog.ErrorS(err, "Cannot route to the pods of a node", "node", node.Name)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

func routeTo(node *v1.Node) error {
	gateway := internalIP(node)
	if gateway == nil || node.Spec.PodCIDR == "" {
		return nil // The node has just joined. Its next update has both.
	}
	_, subnet, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return err
	}
	return netlink.RouteReplace(&netlink.Route{Dst: subnet, Gw: gateway})
}

func internalIP(node *v1.Node) net.IP {
	for _, address := range node.Status.Addresses {
		if address.Type == v1.NodeInternalIP {
			return net.ParseIP(address.Address)
		}
	}
	return nil
}
