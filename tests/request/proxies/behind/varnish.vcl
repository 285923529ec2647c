vcl 4.1;

backend default {
    .host = "{host1}";
    .port = "{port1}";
}
