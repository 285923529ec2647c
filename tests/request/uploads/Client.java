import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/**
 * Uploads with a wrong key by HttpClient, and prints what is answered.
 *
 * <p>Usage: Client.java URL SIZE…
 */
public class Client {
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws Exception {
        URI url = URI.create(arguments[0]);
        for (int i = 1; i < arguments.length; i++) {
            byte[] body = new byte[Integer.parseInt(arguments[i])];
            BodyPublisher chunked = BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body));
            upload(url, body.length + " length", BodyPublishers.ofByteArray(body));
            upload(url, body.length + " chunked", chunked);
        }
    }

    private static void upload(URI url, String name, BodyPublisher body)
            throws Exception {
        var request = HttpRequest.newBuilder(url).header("x-api-key", "wrong").POST(body);
        var answer = CLIENT.send(request.build(), BodyHandlers.ofString());
        String detail = answer.body().replaceAll(".*\"detail\":\"([^\"]*)\".*", "$1");
        System.out.println(name + " " + answer.statusCode() + " " + detail);
    }
}
