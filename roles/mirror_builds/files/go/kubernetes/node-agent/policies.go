package main

import (
	"fmt"
	"os/exec"

	"github.com/coreos/go-iptables/iptables"
	"k8s.io/klog/v2"
)

// policyQueue is the queue that kube-network-policies reads from; the manifest gives it the same number.
const policyQueue = "98"

// queueForPolicies hands the first packet of each connection of a pod to kube-network-policies, on a node whose kernel has no
// queue in nftables. Elsewhere kube-network-policies does so itself. Without either every NetworkPolicy would be a dead letter.
//
// What a pod sends to its own node, where the API server may be, it never looks at by itself: no such packet leaves the node.
func queueForPolicies(rules *iptables.IPTables, podSubnet string) error {
	for _, rule := range [][]string{
		{"-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "RETURN"},
		{"-s", podSubnet, "-j", "NFQUEUE", "--queue-num", policyQueue},
	} {
		if err := rules.AppendUnique("mangle", "INPUT", rule...); err != nil {
			return fmt.Errorf("rule for network policies: %w", err)
		}
	}
	probe := "add table inet probe; add chain inet probe probe; add rule inet probe probe queue num " + policyQueue
	if output, err := exec.Command("nft", "--check", probe).CombinedOutput(); err == nil {
		return nil
	} else {
		klog.InfoS("nftables cannot queue on this kernel, so iptables does", "output", string(output))
	}
	for _, rule := range [][]string{
		{"-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "RETURN"},
		// kubelet's probes, and whatever else the node itself sends.
		{"-m", "owner", "--uid-owner", "0", "-j", "RETURN"},
		{"-s", podSubnet, "-j", "NFQUEUE", "--queue-num", policyQueue},
		{"-d", podSubnet, "-j", "NFQUEUE", "--queue-num", policyQueue},
	} {
		if err := rules.AppendUnique("mangle", "POSTROUTING", rule...); err != nil {
			return fmt.Errorf("rule for network policies: %w", err)
		}
	}
	return nil
}
