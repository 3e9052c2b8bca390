package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/coreos/go-iptables/iptables"
	"k8s.io/klog/v2"
)

// policyQueue is the queue that kube-network-policies reads from; the manifest gives it the same number.
const policyQueue = "98"

// policyTable is the table that kube-network-policies calls its own.
const policyTable = "inet kube-network-policies"

// queueForPolicies hands the first packet of each connection of a pod to kube-network-policies, on a node whose kernel has no
// queue in nftables. Elsewhere kube-network-policies does so itself. Without either every NetworkPolicy would be a dead letter.
//
// On such a node it tries all the same, whenever a pod comes or goes, and gives up each time. A kernel that loses a chain throws away
// all packets that wait in any queue: the first ones of new connections, whose clients try again a second later, or five for a
// question of DNS. So it is kept from trying.
//
// What a pod sends to its own node, where the API server may be, kube-network-policies never looks at: no such packet leaves the node.
func queueForPolicies(ctx context.Context, rules *iptables.IPTables, podSubnet string) error {
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
	if err := keepTable(ctx); err != nil {
		klog.ErrorS(err, "kube-network-policies may lose packets whenever a pod comes or goes")
	}
	return nil
}

// keepTable makes the table an empty one that belongs to a process of ours, so that the kernel lets nobody else put chains into it.
// It is gone when that process ends, which it does with this one.
func keepTable(ctx context.Context) error {
	keeper := exec.CommandContext(ctx, "nft", "--interactive")
	input, err := keeper.StdinPipe()
	if err != nil {
		return err
	}
	if err := keeper.Start(); err != nil {
		return err
	}
	command := "add table %[1]s; delete table %[1]s; add table %[1]s { flags owner; }\n"
	if _, err := fmt.Fprintf(input, command, policyTable); err != nil {
		return err
	}
	go func() {
		err := keeper.Wait()
		klog.ErrorS(err, "The table of kube-network-policies is not kept any more")
	}()
	for range 50 {
		if listed, _ := exec.Command("nft", "list", "table", "inet", "kube-network-policies").Output(); strings.Contains(string(listed), "owner") {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("nft has made no table with an owner")
}
