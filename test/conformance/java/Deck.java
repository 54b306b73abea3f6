package millrace.conformance;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flume.Event;
import org.apache.flume.event.EventBuilder;

/** Batches of events in a file; deck.ts has the bytes. */
final class Deck {
  private Deck() {}

  static List<List<Event>> read(File file) throws IOException {
    List<List<Event>> batches = new ArrayList<>();
    try (DataInputStream in =
        new DataInputStream(new BufferedInputStream(new FileInputStream(file), 1 << 16))) {
      while (true) {
        int count;
        try {
          count = in.readInt();
        } catch (EOFException end) {
          return batches;
        }
        List<Event> batch = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
          int headerCount = in.readInt();
          Map<String, String> headers = new HashMap<>();
          for (int h = 0; h < headerCount; h++) {
            String key = readText(in);
            headers.put(key, readText(in));
          }
          batch.add(EventBuilder.withBody(readBytes(in), headers));
        }
        batches.add(batch);
      }
    }
  }

  static void write(DataOutputStream out, List<Event> batch) throws IOException {
    out.writeInt(batch.size());
    for (Event event : batch) {
      out.writeInt(event.getHeaders().size());
      for (Map.Entry<String, String> header : event.getHeaders().entrySet()) {
        writeBytes(out, header.getKey().getBytes(StandardCharsets.UTF_8));
        writeBytes(out, header.getValue().getBytes(StandardCharsets.UTF_8));
      }
      writeBytes(out, event.getBody());
    }
  }

  private static String readText(DataInputStream in) throws IOException {
    return new String(readBytes(in), StandardCharsets.UTF_8);
  }

  private static byte[] readBytes(DataInputStream in) throws IOException {
    byte[] bytes = new byte[in.readInt()];
    in.readFully(bytes);
    return bytes;
  }

  private static void writeBytes(DataOutputStream out, byte[] bytes) throws IOException {
    out.writeInt(bytes.length);
    out.write(bytes);
  }
}
