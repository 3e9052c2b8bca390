// Command cp copies a program, as a pod's init container does with an image that has nothing else.
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
