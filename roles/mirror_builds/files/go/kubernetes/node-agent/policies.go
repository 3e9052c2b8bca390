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

// policyQueue is the queue that kube-network-policies reads from. Its manifest has the same number.
const policyQueue = "98"

// policyTable is the nftables table of kube-network-policies.
const policyTable = "inet kube-network-policies"

// queueForPolicies sends the first packet of each pod connection to kube-network-policies, on a node whose kernel has no queue in
// nftables. On other nodes, kube-network-policies does this itself. Without a queue, no NetworkPolicy would be enforced.
//
// On a node without the queue, kube-network-policies retries whenever a pod starts or stops, and fails each time. When its chain is
// removed, the kernel drops all packets that wait in any queue. These are the first packets of new connections. Their clients retry after
// 1 s, or after 5 s for DNS. Therefore, keepTable prevents these retries.
//
// The rule in INPUT is for packets from a pod to its own node, where the API server may run. kube-network-policies does not queue them,
// because they never leave the node.
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
		klog.InfoS("The kernel has no queue in nftables, using iptables", "output", string(output))
	}
	for _, rule := range [][]string{
		{"-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "RETURN"},
		// Probes of kubelet, and other packets of the node itself.
		{"-m", "owner", "--uid-owner", "0", "-j", "RETURN"},
		{"-s", podSubnet, "-j", "NFQUEUE", "--queue-num", policyQueue},
		{"-d", podSubnet, "-j", "NFQUEUE", "--queue-num", policyQueue},
	} {
		if err := rules.AppendUnique("mangle", "POSTROUTING", rule...); err != nil {
			return fmt.Errorf("rule for network policies: %w", err)
		}
	}
	if err := keepTable(ctx); err != nil {
		klog.ErrorS(err, "kube-network-policies may drop packets whenever a pod starts or stops")
	}
	return nil
}

// keepTable creates the table empty, with a child process as its owner, so that the kernel rejects chains of other processes.
// The table is removed when the child process terminates, which is at the latest when this process does.
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
		klog.ErrorS(err, "The owner of the table of kube-network-policies has terminated")
	}()
	for range 50 {
		if listed, _ := exec.Command("nft", "list", "table", "inet", "kube-network-policies").Output(); strings.Contains(string(listed), "owner") {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("nft has not created a table with an owner")
}
