// Four pixels become one; light becomes sRGB, bright parts bend to white.
uniform sampler2D fine;
uniform float exposure;
out vec4 result;

void main() {
    ivec2 t = 2 * ivec2(gl_FragCoord.xy);
    vec4 sum = (texelFetch(fine, t, 0) + texelFetch(fine, t + ivec2(1, 0), 0)
                + texelFetch(fine, t + ivec2(0, 1), 0) + texelFetch(fine, t + ivec2(1, 1), 0))
               * 0.25;
    vec3 x = sum.rgb / max(sum.a, 1e-4) * exposure;
    x = mix(x, 1.0 - 0.3 * exp((0.7 - x) / 0.3), step(0.7, x));
    vec3 high = 1.055 * pow(max(x, 0.0), vec3(1.0 / 2.4)) - 0.055;
    result = vec4(mix(x * 12.92, high, step(0.0031308, x)), clamp(sum.a, 0.0, 1.0));
}
