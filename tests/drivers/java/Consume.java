import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** consume: until so many records are there, or the time is over. */
final class Consume {
    static void register(Map<String, Driver.Verb> verbs) {
        verbs.put("consume", Consume::consume);
    }

    @SuppressWarnings("unchecked")
    private static void consume(JsonNode order, ObjectNode answer) throws Exception {
        Driver.with(order, KafkaConsumer.class,
                properties -> new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer()),
                client -> poll((KafkaConsumer<byte[], byte[]>) client, order, answer));
    }

    private static void poll(KafkaConsumer<byte[], byte[]> consumer, JsonNode order, ObjectNode answer) {
        ArrayNode records = answer.putArray("records"); // what came before an error stays in the answer
        choose(consumer, order);
        int count = order.path("count").asInt(1);
        long end = System.nanoTime() + Duration.ofMillis(order.path("timeout_ms").asLong(20_000)).toNanos();
        while (records.size() < count && System.nanoTime() < end) {
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                records.add(toJson(record));
            }
        }
        if (order.path("commit").asBoolean()) {
            consumer.commitSync();
        }
    }

    private static void choose(KafkaConsumer<byte[], byte[]> consumer, JsonNode order) {
        if (order.hasNonNull("assign")) {
            if (!consumer.assignment().isEmpty()) {
                return; // left open by an earlier order: goes on where it was
            }
            List<TopicPartition> partitions = new ArrayList<>();
            for (JsonNode at : order.get("assign")) {
                partitions.add(new TopicPartition(at.get("topic").asText(), at.path("partition").asInt()));
            }
            consumer.assign(partitions);
            for (JsonNode at : order.get("assign")) {
                consumer.seek(new TopicPartition(at.get("topic").asText(), at.path("partition").asInt()),
                        at.path("offset").asLong());
            }
        } else if (consumer.subscription().isEmpty()) {
            if (order.hasNonNull("broker_pattern")) {
                consumer.subscribe(new SubscriptionPattern(order.get("broker_pattern").asText()));
            } else if (order.hasNonNull("pattern")) {
                consumer.subscribe(Pattern.compile(order.get("pattern").asText()));
            } else {
                List<String> topics = new ArrayList<>();
                order.path("topics").forEach(topic -> topics.add(topic.asText()));
                consumer.subscribe(topics);
            }
        }
    }

    private static ObjectNode toJson(ConsumerRecord<byte[], byte[]> record) {
        ObjectNode out = Driver.JSON.createObjectNode();
        out.put("topic", record.topic()).put("partition", record.partition()).put("offset", record.offset());
        out.put("timestamp_ms", record.timestamp());
        out.set("key", Driver.bytes(record.key()));
        out.set("value", Driver.bytes(record.value()));
        ArrayNode headers = out.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(Driver.bytes(header.value()));
        }
        return out;
    }
}
