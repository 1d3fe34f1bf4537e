module lading.dev/test/craas-go

go 1.22

require github.com/selectel/craas-go v0.4.2
