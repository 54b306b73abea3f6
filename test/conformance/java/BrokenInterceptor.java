package millrace.conformance;

import java.util.ArrayList;
import java.util.List;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.interceptor.Interceptor;

/** Fails as an event's header "fail" asks: with an exception, with a java.lang.Error, or late. */
public final class BrokenInterceptor implements Interceptor {
  @Override
  public void initialize() {}

  @Override
  public Event intercept(Event event) {
    String fail = event.getHeaders().get("fail");
    if ("exception".equals(fail)) throw new IllegalStateException("asked to fail");
    if ("error".equals(fail)) throw new StackOverflowError("asked to fail");
    if ("late".equals(fail)) {
      try {
        Thread.sleep(6000);
      } catch (InterruptedException stopped) {
        Thread.currentThread().interrupt();
      }
      throw new IllegalStateException("asked to fail late");
    }
    return event;
  }

  @Override
  public List<Event> intercept(List<Event> events) {
    List<Event> kept = new ArrayList<>(events.size());
    for (Event event : events) kept.add(intercept(event));
    return kept;
  }

  @Override
  public void close() {}

  /** What Flume's configuration names. */
  public static final class Builder implements Interceptor.Builder {
    @Override
    public Interceptor build() {
      return new BrokenInterceptor();
    }

    @Override
    public void configure(Context context) {}
  }
}
