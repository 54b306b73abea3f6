package millrace.conformance;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.interceptor.Interceptor;

/** Puts a line's level into a header, and drops DEBUG lines when it is told to. */
public final class LevelInterceptor implements Interceptor {
  private static final Pattern LEVEL = Pattern.compile("\\b(ERROR|WARN|INFO|DEBUG)\\b");
  private final String header;
  private final boolean dropDebug;

  private LevelInterceptor(String header, boolean dropDebug) {
    this.header = header;
    this.dropDebug = dropDebug;
  }

  @Override
  public void initialize() {}

  @Override
  public Event intercept(Event event) {
    Matcher found = LEVEL.matcher(new String(event.getBody(), StandardCharsets.UTF_8));
    String level = found.find() ? found.group(1) : "NONE";
    if (dropDebug && level.equals("DEBUG")) return null;
    event.getHeaders().put(header, level);
    return event;
  }

  @Override
  public List<Event> intercept(List<Event> events) {
    List<Event> kept = new ArrayList<>(events.size());
    for (Event event : events) {
      Event done = intercept(event);
      if (done != null) kept.add(done);
    }
    return kept;
  }

  @Override
  public void close() {}

  public static final class Builder implements Interceptor.Builder {
    private String header;
    private boolean dropDebug;

    @Override
    public void configure(Context context) {
      header = context.getString("header", "level");
      dropDebug = context.getBoolean("dropDebug", false);
    }

    @Override
    public Interceptor build() {
      return new LevelInterceptor(header, dropDebug);
    }
  }
}
