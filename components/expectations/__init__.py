"""Great Expectations as the gates use it: suites in, findings, pages and bands learnt from the past out."""
