"""HTTP in, HTTP out: each route reads what is asked for, lets the service do it, and answers."""
