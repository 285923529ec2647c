# Keeps also what says nothing of caches, and answers to Authorization, for which Varnish does not
# look into its cache by default.
vcl 4.1;

backend default {
    .host = "{application_host}";
    .port = "{application_port}";
}

sub vcl_recv {
    if (req.method == "GET") {
        return (hash);
    }
}
