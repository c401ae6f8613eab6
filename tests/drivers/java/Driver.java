import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Function;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.Errors;

/**
 * Java's Kafka clients behind JSON lines: one order a line on standard input, one answer a line on standard output, many
 * at once. tests/drivers/README.md has the orders; driver.py speaks the same for librdkafka.
 */
public final class Driver {
    static final ObjectMapper JSON = new ObjectMapper();

    /** Clients that an order left open, by the name it gave them. */
    private static final Map<String, AutoCloseable> OPEN = new ConcurrentHashMap<>();

    interface Verb {
        void run(JsonNode order, ObjectNode answer) throws Exception;
    }

    private static final Map<String, Verb> VERBS = new ConcurrentHashMap<>();

    public static void main(String[] args) throws Exception {
        Produce.register(VERBS);
        Consume.register(VERBS);
        Administer.register(VERBS);
        VERBS.put("close", (order, answer) -> {
            AutoCloseable client = OPEN.remove(order.get("client").asText());
            if (client != null) {
                client.close();
            }
        });
        VERBS.put("allow_token_endpoint", (order, answer) -> System.setProperty(
                "org.apache.kafka.sasl.oauthbearer.allowed.urls", order.get("urls").asText()));

        PrintStream answers = System.out;
        System.setOut(System.err); // whatever a library prints is no answer
        ExecutorService threads = Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        });
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = orders.readLine()) != null; ) {
            JsonNode order = JSON.readTree(line);
            threads.execute(() -> {
                ObjectNode answer = answer(order);
                synchronized (answers) {
                    answers.println(answer);
                    answers.flush();
                }
            });
        }
        Runtime.getRuntime().halt(0); // clients that are still open may wait for brokers that are gone
    }

    private static ObjectNode answer(JsonNode order) {
        ObjectNode answer = JSON.createObjectNode();
        answer.set("id", order.get("id"));
        String name = order.path("verb").asText();
        Verb verb = VERBS.get(name);
        try {
            if (verb == null) {
                throw new IllegalArgumentException("the Java driver has no verb " + name);
            }
            verb.run(order, answer);
        } catch (Throwable thrown) {
            answer.set("error", error(thrown));
        }
        return answer;
    }

    /** What was thrown, by class, and as the error code that a broker would have sent for it (-1: none fits). */
    static ObjectNode error(Throwable thrown) {
        Throwable cause = thrown;
        while ((cause instanceof ExecutionException || cause instanceof CompletionException) && cause.getCause() != null) {
            cause = cause.getCause();
        }
        Errors code = Errors.forException(cause);
        ObjectNode error = JSON.createObjectNode();
        error.put("class", cause.getClass().getSimpleName());
        error.put("code", code.code());
        error.put("name", code.name());
        error.put("message", String.valueOf(cause.getMessage()));
        error.put("retriable", cause instanceof RetriableException);
        return error;
    }

    /** Runs with the client that the order names, opened on first use and left open; without a name, with one of its own. */
    static <C extends AutoCloseable> void with(
            JsonNode order, Class<C> type, Function<Properties, C> open, ThrowingConsumer<C> body) throws Exception {
        if (order.hasNonNull("client")) {
            AutoCloseable client = OPEN.computeIfAbsent(order.get("client").asText(), name -> open.apply(properties(order)));
            body.accept(type.cast(client));
            return;
        }
        try (C client = open.apply(properties(order))) {
            body.accept(client);
        }
    }

    interface ThrowingConsumer<C> {
        void accept(C client) throws Exception;
    }

    private static Properties properties(JsonNode order) {
        Properties properties = new Properties();
        order.path("config").properties().forEach(entry -> properties.put(entry.getKey(), entry.getValue().asText()));
        return properties;
    }

    /** Text stays text; null stays null; bytes that are not UTF-8 go out as {"base64": ...}. */
    static JsonNode bytes(byte[] bytes) {
        if (bytes == null) {
            return JSON.nullNode();
        }
        try {
            return JSON.getNodeFactory().textNode(
                    StandardCharsets.UTF_8.newDecoder().decode(java.nio.ByteBuffer.wrap(bytes)).toString());
        } catch (java.nio.charset.CharacterCodingException notText) {
            return JSON.createObjectNode().put("base64", java.util.Base64.getEncoder().encodeToString(bytes));
        }
    }

    static byte[] bytes(JsonNode node) {
        if (node == null || node.isNull() || node.isMissingNode()) {
            return null;
        }
        return node.isObject()
                ? java.util.Base64.getDecoder().decode(node.get("base64").asText())
                : node.asText().getBytes(StandardCharsets.UTF_8);
    }
}
