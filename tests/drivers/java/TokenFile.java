import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.auth.SaslExtensions;
import org.apache.kafka.common.security.auth.SaslExtensionsCallback;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerTokenCallback;

/**
 * An OAUTHBEARER login that reads its token from the file that the JAAS line names, at each login and at each refresh,
 * and believes whatever is in it: also a token that is forged, expired or for somebody else.
 */
public final class TokenFile implements AuthenticateCallbackHandler {
    private Path file;

    @Override
    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> jaas) {
        file = Path.of((String) jaas.get(0).getOptions().get("token_file"));
    }

    @Override
    public void handle(Callback[] callbacks) throws IOException, UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerTokenCallback wanted) {
                wanted.token(token(Files.readString(file).strip()));
            } else if (callback instanceof SaslExtensionsCallback wanted) {
                wanted.extensions(SaslExtensions.empty());
            } else {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    @Override
    public void close() { }

    private static OAuthBearerToken token(String value) {
        long nowMs = System.currentTimeMillis();
        long expiresMs = expiresMs(value, nowMs + 3_600_000);
        return new OAuthBearerToken() {
            @Override
            public String value() {
                return value;
            }

            @Override
            public Set<String> scope() {
                return Set.of();
            }

            @Override
            public long lifetimeMs() {
                return expiresMs > nowMs ? expiresMs : nowMs + 3_600_000; // an expired one must reach the server
            }

            @Override
            public String principalName() {
                return "token-file";
            }

            @Override
            public Long startTimeMs() {
                return nowMs;
            }
        };
    }

    private static long expiresMs(String token, long otherwiseMs) {
        try {
            byte[] claims = Base64.getUrlDecoder().decode(token.split("\\.")[1]);
            long expiresS = Driver.JSON.readTree(new String(claims, StandardCharsets.UTF_8)).path("exp").asLong();
            return expiresS > 0 ? expiresS * 1000 : otherwiseMs;
        } catch (RuntimeException | IOException notAToken) {
            return otherwiseMs;
        }
    }
}
