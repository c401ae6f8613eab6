import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** produce: records to topics, in a transaction or not; an answer per record. */
final class Produce {
    /** Producers that have called initTransactions. */
    private static final Set<KafkaProducer<byte[], byte[]>> TRANSACTIONAL = ConcurrentHashMap.newKeySet();

    static void register(Map<String, Driver.Verb> verbs) {
        verbs.put("produce", Produce::produce);
    }

    @SuppressWarnings("unchecked")
    private static void produce(JsonNode order, ObjectNode answer) throws Exception {
        Driver.with(order, KafkaProducer.class,
                properties -> new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer()),
                client -> send((KafkaProducer<byte[], byte[]>) client, order, answer));
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, JsonNode order, ObjectNode answer) {
        String end = order.path("transaction").asText("");
        if (!end.isEmpty()) {
            if (TRANSACTIONAL.add(producer)) {
                producer.initTransactions();
            }
            producer.beginTransaction();
        }
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        ArrayNode results = answer.putArray("results");
        for (JsonNode record : order.path("records")) {
            try {
                sent.add(producer.send(toRecord(order, record)));
            } catch (RuntimeException thrown) { // a full buffer, metadata that never came: also an answer for this record
                sent.add(java.util.concurrent.CompletableFuture.failedFuture(thrown));
            }
        }
        producer.flush();
        for (Future<RecordMetadata> future : sent) {
            ObjectNode result = results.addObject();
            try {
                RecordMetadata metadata = future.get();
                result.put("topic", metadata.topic()).put("partition", metadata.partition());
                result.put("offset", metadata.hasOffset() ? metadata.offset() : -1);
            } catch (Exception thrown) {
                result.set("error", Driver.error(thrown));
            }
        }
        switch (end) {
            case "" -> { }
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            default -> throw new IllegalArgumentException("transaction: commit or abort, not " + end);
        }
    }

    private static ProducerRecord<byte[], byte[]> toRecord(JsonNode order, JsonNode record) {
        String topic = record.path("topic").asText(order.path("topic").asText());
        Integer partition = record.hasNonNull("partition") ? record.get("partition").asInt() : null;
        Long timestamp = record.hasNonNull("timestamp_ms") ? record.get("timestamp_ms").asLong() : null;
        ProducerRecord<byte[], byte[]> out = new ProducerRecord<>(
                topic, partition, timestamp, Driver.bytes(record.get("key")), Driver.bytes(record.get("value")));
        for (JsonNode header : record.path("headers")) {
            out.headers().add(header.get(0).asText(), Driver.bytes(header.get(1)));
        }
        return out;
    }
}
