# The Ruby runtime: speaks the Lambda Runtime API (2018-06-01) and runs the function's handler.
#
# Documentation: Developer Guide, "Building Lambda functions with Ruby" (handler, context, errors) and
# "Using the Lambda runtime API".
#
# Two ways in, alike for the function: with _HANDLER in the environment it begins at once; without, it
# was booted for the pool and reads its whole environment from descriptor 3 (NAME=VALUE, each ended by
# NUL) before anything that depends on it.

require 'json'
require 'socket'
begin
  require 'logger' # AWS's has it loaded, too, in the form that is below
rescue LoadError
  nil # a host's Ruby may come without it
end

module CirrusRuntime
  GATE_FD = 3
  PREFIX = '/2018-06-01/runtime/'
  FRAME = [0xa55a0003].pack('N')

  # An error with the name that AWS gives it.
  class NamedError < StandardError
    attr_reader :kind

    def initialize(kind, message)
      super(message)
      @kind = kind
    end
  end

  # --- the log -----------------------------------------------------------------------------------

  # Records of any content on the framed descriptor; lines on standard output without one.
  class Log
    def initialize
      fd = (ENV.delete('_LAMBDA_TELEMETRY_LOG_FD') || '-1').to_i
      @io = fd > 2 ? IO.for_fd(fd, 'wb', autoclose: false) : nil
      @json = ENV['AWS_LAMBDA_LOG_FORMAT'].to_s.casecmp?('JSON')
    end

    attr_reader :json
    attr_accessor :request_id, :tenant_id # of the event in work

    # A Logger takes us for a device.
    def close
      nil
    end

    def framed?
      !@io.nil?
    end

    def write(text)
      data = text.dup.force_encoding(Encoding::BINARY)
      return $stdout.write(text) unless @io

      now = Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
      @io.syswrite(FRAME + [data.bytesize].pack('N') + [now].pack('Q>') + data)
    rescue SystemCallError
      nil # nobody reads: a log line is not worth an end
    end

    # How an error that ends an invocation is shown.
    def error(what, report)
      return write("#{what}\n#{JSON.generate(report)}\n") unless @json

      record = { timestamp: Time.now.utc.strftime('%Y-%m-%dT%H:%M:%S.%LZ'), level: 'ERROR', message: what }
      write("#{JSON.generate(record.merge(of_event).merge(report))}\n")
    end

    def of_event
      { requestId: @request_id, tenantId: @tenant_id }.compact
    end
  end

  class << self
    attr_accessor :log
  end

  # A Logger of standard output or standard error: each message is one record, with the event's id.
  if defined?(::Logger)
    class LogFormatter < ::Logger::Formatter
      def call(severity, time, progname, message)
        return json(severity, time, progname, message) if CirrusRuntime.log.json

        text = format('%s, [%s #%d] %5s %s -- %s: %s', severity[0], format_datetime(time), $$, severity,
                      CirrusRuntime.log.request_id, progname, msg2str(message))
        "#{utf8(text)}\n"
      end

      private

      def utf8(text)
        text.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace)
      end

      def json(severity, time, progname, message)
        error = message.is_a?(Exception)
        record = { timestamp: time.utc.strftime('%Y-%m-%dT%H:%M:%S.%6NZ'), level: severity,
                   message: utf8(error ? message.message : msg2str(message)) }.merge(CirrusRuntime.log.of_event)
        record[:logger] = utf8(progname) unless progname.to_s.empty?
        record.merge!(error_members(message)) if error
        "#{JSON.generate(record)}\n"
      end

      def error_members(error)
        trace = Array(error.backtrace).map { |line| utf8(line) }
        at = trace.first&.match(/\A(.+):(\d+):in [`'](.+)'\z/)
        { errorType: error.class.to_s, errorMessage: utf8(error.message), stackTrace: trace,
          location: at ? "#{at[1]}:#{at[3]}:#{at[2]}" : trace.first }.compact
      end
    end

    module LoggerOfOutput
      def initialize(device = nil, *rest, **more)
        ours = CirrusRuntime.log&.framed? && !device.nil? && (device.equal?($stdout) || device.equal?($stderr))
        super(ours ? CirrusRuntime.log : device, *rest, **more)
        @default_formatter = LogFormatter.new if ours
        @default_formatter.datetime_format = more[:datetime_format] if ours
      end
    end
    ::Logger.prepend(LoggerOfOutput)
  end

  # Kernel#puts: what it is given at once is one record, of however many lines.
  def self.put_lines(arguments)
    return $stdout.puts(*arguments) unless log&.framed? && $stdout.equal?(STDOUT)

    lines = arguments.flatten.map { |one| one.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace) }
    text = lines.join("\n")
    log.write(text.end_with?("\n") ? text : "#{text}\n")
    nil
  end

  # --- the Runtime API ---------------------------------------------------------------------------

  # Requests in a row on one connection; an answer and the next poll are one write.
  class Api
    def initialize(address)
      @address = address
      host, port = address.split(':')
      @socket = TCPSocket.new(host, port.to_i)
      @socket.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)
    end

    def next_request
      "GET #{PREFIX}invocation/next HTTP/1.1\r\nHost: #{@address}\r\nUser-Agent: cirrus-ruby\r\n\r\n"
    end

    def post(name, body, more = '')
      head = "POST #{PREFIX}#{name} HTTP/1.1\r\nHost: #{@address}\r\nUser-Agent: cirrus-ruby\r\n#{more}" \
             "Content-Type: application/json\r\nContent-Length: #{body.bytesize}\r\n\r\n"
      head.b + body.b
    end

    def error_request(name, report)
      kind = report[:errorType].gsub(/[^ -~]/, '?')
      post(name, JSON.generate(report), "Lambda-Runtime-Function-Error-Type: #{kind}\r\n")
    end

    def send(data)
      @socket.write(data)
    end

    # [status, headers, body] of the next answer.
    def receive
      status = line[9, 3].to_i
      headers = {}
      until (text = line).empty?
        name, value = text.split(':', 2)
        headers[name.downcase] = value.strip
      end
      body = headers['transfer-encoding'] == 'chunked' ? chunks : read(headers['content-length'].to_i)
      [status, headers, body]
    end

    private

    def line
      (@socket.gets("\r\n") || raise(EOFError, 'the Runtime API closed the connection')).chomp("\r\n")
    end

    def read(size)
      data = @socket.read(size)
      raise EOFError, 'the Runtime API closed the connection' if data.nil? || data.bytesize < size

      data
    end

    def chunks
      parts = +''.b
      while (size = line.to_i(16)).positive?
        parts << read(size)
        read(2)
      end
      nil until line.empty?
      parts
    end
  end

  # --- the context -------------------------------------------------------------------------------

  class Context
    attr_reader :aws_request_id, :invoked_function_arn, :log_group_name, :log_stream_name, :function_name,
                :memory_limit_in_mb, :function_version, :identity, :client_context, :deadline_ms, :tenant_id

    def initialize(headers)
      @deadline_ms = headers['lambda-runtime-deadline-ms'].to_i
      @aws_request_id = headers['lambda-runtime-aws-request-id']
      @invoked_function_arn = headers['lambda-runtime-invoked-function-arn']
      @tenant_id = headers['lambda-runtime-aws-tenant-id']
      @log_group_name = ENV['AWS_LAMBDA_LOG_GROUP_NAME']
      @log_stream_name = ENV['AWS_LAMBDA_LOG_STREAM_NAME']
      @function_name = ENV['AWS_LAMBDA_FUNCTION_NAME']
      @memory_limit_in_mb = ENV['AWS_LAMBDA_FUNCTION_MEMORY_SIZE']
      @function_version = ENV['AWS_LAMBDA_FUNCTION_VERSION']
      @identity = parse(headers['lambda-runtime-cognito-identity'])
      @client_context = parse(headers['lambda-runtime-client-context'])
    end

    def get_remaining_time_in_millis
      remaining = @deadline_ms - Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond)
      remaining.positive? ? remaining : 0
    end

    private

    def parse(text)
      text && JSON.parse(text)
    end
  end

  # --- the trace header --------------------------------------------------------------------------

  # _X_AMZN_TRACE_ID, another one for each event. The C library keeps every value that setenv(), which
  # is ENV[]=, ever had, 160 bytes an event: after some of them the variable is a piece of memory of
  # ours (putenv), whose text is changed in place.
  class Trace
    NAME = '_X_AMZN_TRACE_ID'
    EVENTS_MAX = 1000
    BYTES_MAX = 2048 # of the header; a longer one is set as the first ones are

    def initialize
      @events = 0
    end

    def set(text)
      return ENV.delete(NAME) unless text

      @events += 1
      open_memory if @events == EVENTS_MAX
      return ENV[NAME] = text if @memory.nil? || text.bytesize > BYTES_MAX

      @memory[NAME.bytesize + 1, text.bytesize + 1] = "#{text}\0"
      # Again each time, because the function may have set or deleted it.
      @putenv.call(@memory)
    end

    private

    # A host's Ruby may have no Fiddle: then it is as it was.
    def open_memory
      require 'fiddle'
      # With the interpreter's lock: other threads read the environment.
      putenv = Fiddle::Function.new(Fiddle.dlopen(nil)['putenv'], [Fiddle::TYPE_VOIDP], Fiddle::TYPE_INT,
                                    need_gvl: true)
      memory = Fiddle::Pointer.malloc(NAME.bytesize + BYTES_MAX + 2)
      memory[0, NAME.bytesize + 1] = "#{NAME}="
      @putenv = putenv
      @memory = memory
    rescue LoadError, StandardError
      nil
    end
  end

  # --- the handler -------------------------------------------------------------------------------

  # "file.method", "file.Class.method" and "file.Module::Class.method".
  class FunctionHandler
    def initialize(text, root)
      file, *names = text.split('.')
      unless names.length.between?(1, 2)
        raise NamedError.new('Runtime.MalformedHandlerName',
                             "Invalid handler #{text}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD " \
                             'where FILENAME corresponds with an existing Ruby source file FILENAME.rb, CLASS is an ' \
                             'optional module/class namespace and METHOD is a callable method. If using CLASS, ' \
                             'METHOD must be a class-level method.')
      end
      @method = names.pop
      @class = names.pop
      $LOAD_PATH.unshift(root) unless $LOAD_PATH.include?(root)
      require File.expand_path(file, root)
      @target = @class ? Kernel.const_get(@class) : TOPLEVEL_BINDING.receiver
      return if @target.respond_to?(@method, true)

      raise NamedError.new('Runtime.HandlerNotFound', "undefined method '#{@method}' for '#{@class || 'main'}'")
    end

    def call(event, context)
      @target.send(@method, event: event, context: context)
    end
  end

  module_function

  def take_environment
    gate = IO.for_fd(GATE_FD, 'rb')
    pairs = gate.read.split("\0").map { |one| one.force_encoding(Encoding::UTF_8).split('=', 2) }
    gate.close
    ENV.replace(pairs.select { |name, value| value && !name.empty? }.to_h)
    Gem.clear_paths if defined?(Gem)
  end

  # AWS marks whose fault it was: "Function<TypeError>", "Init<LoadError>".
  def report_of(error, phase)
    kind = error.is_a?(NamedError) ? error.kind : "#{phase}<#{error.class}>"
    trace = (error.backtrace || []).reject { |at| at.start_with?(__FILE__) }
    message = error.message.dup.force_encoding(Encoding::UTF_8).scrub
    { errorMessage: message, errorType: kind, stackTrace: trace }
  end

  # What a StringIO or another IO has is the answer as it is.
  def serialize(result)
    return result.read if result.is_a?(IO) || (defined?(StringIO) && result.is_a?(StringIO))

    JSON.generate(result)
  rescue StandardError => e
    raise NamedError.new('Function<JSON::GeneratorError>', e.message)
  end

  def invoke(api, log, handler, headers, body)
    context = Context.new(headers)
    id = log.request_id = context.aws_request_id
    log.tenant_id = context.tenant_id
    begin
      event = JSON.parse(body.force_encoding(Encoding::UTF_8))
      request = api.post("invocation/#{id}/response", serialize(handler.call(event, context)))
    rescue StandardError, ScriptError, SystemStackError, NoMemoryError => e
      report = report_of(e, 'Function')
      log.error('Error raised from handler method', report)
      request = api.error_request("invocation/#{id}/error", report)
    end
    $stdout.flush
    $stderr.flush
    request
  end

  def serve(api, log, handler)
    request = ''.b
    trace = Trace.new
    loop do
      api.send(request + api.next_request)
      api.receive unless request.empty? # what it says changes nothing here: the platform tells the caller
      status, headers, body = api.receive
      exit(status == 410 ? 0 : 1) unless status == 200
      trace.set(headers['lambda-runtime-trace-id'])
      request = invoke(api, log, handler, headers, body)
    end
  end

  def main
    take_environment unless ENV.key?('_HANDLER')
    root = ENV.fetch('LAMBDA_TASK_ROOT', '/var/task')
    Dir.chdir(root)
    $stdout.sync = true
    $stderr.sync = true
    log = CirrusRuntime.log = Log.new
    Kernel.module_eval do
      private

      def puts(*arguments)
        CirrusRuntime.put_lines(arguments)
      end
    end
    api = Api.new(ENV.fetch('AWS_LAMBDA_RUNTIME_API'))
    begin
      handler = FunctionHandler.new(ENV.fetch('_HANDLER'), root)
    rescue StandardError, ScriptError => e
      report = report_of(e, 'Init')
      log.error('Init error when loading handler', report)
      api.send(api.error_request('init/error', report))
      api.receive
      exit(1)
    end
    serve(api, log, handler)
  rescue SystemCallError, EOFError => e
    warn("the Runtime API is gone: #{e.message}")
    exit(1)
  end
end

CirrusRuntime.main
