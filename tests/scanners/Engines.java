import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** Finds keys in a text: reads {@code [expression, text]} as JSON, and writes what was found. */
public final class Engines {
    public static void main(String[] arguments) throws Exception {
        var input = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
        var texts = texts(input);
        var found = Pattern.compile(texts.get(0)).matcher(texts.get(1)).results();
        // Keys have no characters that JSON escapes.
        var quoted = found.map(each -> '"' + each.group() + '"').toList();
        System.out.println("[[" + String.join(",", quoted) + "]]");
    }

    /** Reads the texts of an array. */
    private static List<String> texts(String json) {
        var texts = new ArrayList<String>();
        StringBuilder text = null;
        for (int index = 0; index < json.length(); index++) {
            char character = json.charAt(index);
            if (character == '"') {
                if (text == null) {
                    text = new StringBuilder();
                } else {
                    texts.add(text.toString());
                    text = null;
                }
            } else if (text != null && character == '\\') {
                char escaped = json.charAt(++index);
                switch (escaped) {
                    case 'n' -> text.append('\n');
                    case 'u' -> {
                        text.append((char) Integer.parseInt(json.substring(index + 1, index + 5), 16));
                        index += 4;
                    }
                    default -> text.append(escaped);
                }
            } else if (text != null) {
                text.append(character);
            }
        }
        return texts;
    }
}
