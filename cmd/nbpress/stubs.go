package main

import "github.com/spf13/cobra"

func agentCommand(std streams) *cobra.Command { return &cobra.Command{Use: "agent"} }
func listCommand(std streams) *cobra.Command  { return &cobra.Command{Use: "list"} }
func showCommand(std streams) *cobra.Command  { return &cobra.Command{Use: "show"} }
func logsCommand(std streams) *cobra.Command  { return &cobra.Command{Use: "logs"} }
func fetchCommand(std streams) *cobra.Command { return &cobra.Command{Use: "fetch"} }
