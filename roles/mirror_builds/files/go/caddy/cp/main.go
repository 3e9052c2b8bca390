// Command cp copies a binary, for init containers that run the image of Caddy, which has no other tools.
package main

import (
	"log"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: cp SOURCE TARGET")
	}
	content, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = os.WriteFile(os.Args[2], content, 0o755)
	}
	if err != nil {
		log.Fatal(err)
	}
}
